"""`node_status`: how a node stands, put together from what each part of it keeps."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from fedehr_client.node.folder import NodeFolder
from fedehr_client.supervision.node_state import read_state
from fedehr_client.supervision.pause import PauseMarker
from fedehr_client.supervision.reckoning import spent_at
from fedehr_client.supervision.running_node import RunningNode
from fedehr_client.supervision.work_report import read_work
from fedehr_shared.errors import FedehrError


def node_status(node: NodeFolder) -> dict[str, Any]:
    """For `fedehr-client status --json`; see `docs/node.md` for the keys.

    What a damaged part cannot tell is null.

    Raises:
        ConfigError: the site file is missing or wrong.
    """
    config = node.config()
    pid = RunningNode(node).pid
    told = read_state(node.state)
    is_its_own = pid is not None and told.get("pid") == pid
    pause = PauseMarker(node.state).read()
    last = read_work(node.state)
    return {
        "name": config.site.name,
        "running": pid is not None,
        **(_live(told) if is_its_own else _not_live(pid, told)),
        "paused": None if pause is None else vars(pause),
        "coordinator": config.network.coordinator,
        "records": str(config.site.records),
        "log": str(node.log_file.parent),
        "processes": _processes(pid, told if is_its_own else {}),
        "studies": _studies(node),
        "last_round": _last_round(last),
        "num_rounds_answered": last["num_rounds"],
        "errors": last["errors"],
        "sent_bytes_last_day": _sent_last_day(node),
        "spent_epsilon": _spent(node),
    }


def _live(told: dict[str, Any]) -> dict[str, Any]:
    return {
        "state": told["state"],
        "reason": told["reason"],
        "since": told["since"],
        "ready": not told["unready"],
        "unready": told["unready"],
        "monitoring": {"http_port": told["http_port"], "grpc_port": told["grpc_port"]},
    }


def _not_live(pid: int | None, told: dict[str, Any]) -> dict[str, Any]:
    """Of a supervisor that has not spoken yet, has stopped, or was killed."""
    was_stopped = told.get("state") == "stopped"
    reason = "" if was_stopped or not told else "it was killed, or the machine went down"
    return {
        "state": "joining" if pid is not None else "stopped",
        "reason": "" if pid is not None else told.get("reason", "") if was_stopped else reason,
        "since": told.get("since") if pid is None and was_stopped else None,
        "ready": False,
        "unready": "the supervisor has not spoken yet" if pid is not None else "stopped",
        "monitoring": {"http_port": None, "grpc_port": None},
    }


def _processes(pid: int | None, told: dict[str, Any]) -> list[dict[str, Any]]:
    if pid is None:
        return []
    own = {"name": "supervisor", "pid": pid, "num_restarts": 0}
    return [own, *told.get("processes", [])]


def _studies(node: NodeFolder) -> dict[str, int]:
    from fedehr_client.contracts.store import ContractStore

    now = datetime.now(UTC)
    return dict(Counter(known.shown_state(now) for known in ContractStore(node).all()))


def _last_round(work: dict[str, Any]) -> dict[str, Any] | None:
    last: dict[str, Any] | None = work["last_round"]
    if last is None:
        return None
    moment = datetime.fromtimestamp(last["time"], UTC).isoformat(timespec="seconds")
    return {**last, "time": moment.replace("+00:00", "Z")}


def _sent_last_day(node: NodeFolder) -> int | None:
    from fedehr_client.outbox.outbox import Outbox

    try:
        return Outbox(node).bytes_since(datetime.now(UTC) - timedelta(hours=24))
    except FedehrError:
        return None


def _spent(node: NodeFolder) -> float | str | None:
    """JSON has no infinity, and null would be read as not known."""
    try:
        spent = spent_at(node).subject_epsilon
    except FedehrError:
        return None
    return "infinite" if spent == float("inf") else spent
