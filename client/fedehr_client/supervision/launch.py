"""`start_detached`: a supervisor in the background, waited for until it says how it stands."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from shutil import disk_usage
from typing import Any

from fedehr_client.node.folder import NodeFolder
from fedehr_client.supervision.log_files import log_file
from fedehr_client.supervision.node_state import forget_state, read_state
from fedehr_client.supervision.running_node import RunningNode, already_running
from fedehr_client.supervision.supervisor import require_startable
from fedehr_shared.errors import (
    ConfigError,
    DataError,
    FedehrError,
    NetworkError,
    PolicyError,
    UsageError,
)

_POLL_SECONDS = 0.1
_REPORT_SECONDS = 1.0
"""A reason that ends the supervisor is not told twice: only one that stays is reported."""
_SILENCE_SECONDS = 15.0
_LEAST_FREE_BYTES = 65_536
_ERRORS = {kind.exit_code: kind for kind in
           (UsageError, ConfigError, DataError, NetworkError, PolicyError)}  # fmt: skip


@dataclass(frozen=True)
class Launched:
    """A supervisor that goes on running.

    Attributes:
        is_joined: whether the coordinator has let the node in.
        reason: why not, if not.
        needs_a_person: whether time alone does not mend that.
    """

    is_joined: bool
    reason: str
    needs_a_person: bool


def start_detached(node: NodeFolder, report: Callable[[str], None]) -> Launched:
    """Start a supervisor, and return once it has joined or waits for its coordinator.

    Args:
        node: the node's folder.
        report: is told why it takes longer.

    Raises:
        UsageError: the node runs already.
        FedehrError: the supervisor ended, for the reason it gave.
    """
    require_startable(node)
    if RunningNode(node).pid is not None:
        raise already_running(node)
    forget_state(node.state)
    process = _spawn(node)
    told, seen, seen_at = "", "", time.monotonic()
    try:
        while True:
            ended = process.poll() is not None
            state = read_state(node.state)
            is_its_own = state.get("pid") == process.pid
            if ended:
                raise _why_ended(node, state if is_its_own else {})
            if is_its_own and (state["is_joined"] or state["state"] == "waiting"):
                return Launched(state["is_joined"], state["reason"], state["needs_a_person"])
            if is_its_own and state["reason"] != seen:
                seen, seen_at = state["reason"], time.monotonic()
            if seen not in {"", told} and time.monotonic() - seen_at >= _REPORT_SECONDS:
                told = seen
                report(told)
            elif not told and time.monotonic() - seen_at >= _SILENCE_SECONDS:
                told = "no answer yet; fedehr-client doctor, meanwhile, looks at the way there"
                report(told)
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        RunningNode(node).stop()
        raise


def _spawn(node: NodeFolder) -> "subprocess.Popen[bytes]":
    file = log_file(node, "node")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)
    with file.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "fedehr_client.supervision", str(node.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            umask=0o077,
        )


def _why_ended(node: NodeFolder, state: dict[str, Any]) -> FedehrError:
    kind = _ERRORS.get(state.get("exit_code") or 1, FedehrError)
    if reason := state.get("reason"):
        return kind(reason)
    if disk_usage(node.path).free < _LEAST_FREE_BYTES:
        return DataError(f"the disk of {node.path} is full. Free some space, then start again.")
    return kind(f"the node ended by itself. Read {log_file(node, 'node')}.")
