"""What a coordinator knows about itself: is it up, who is connected, what has run."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedehr_server.network.certificates import days_left
from fedehr_server.network.control import Control
from fedehr_server.network.coordinator import CoordinatorFolder
from fedehr_server.network.run_result import read_result
from fedehr_server.network.sites import SiteRegister
from fedehr_server.network.submission import ProgressReader
from fedehr_server.network.superlink import SuperLink


def coordinator_status(folder: CoordinatorFolder) -> dict[str, Any]:
    """The SuperLink, the sites and the runs of a coordinator folder, ready for JSON."""
    serving = SuperLink(folder).is_serving()
    network = folder.config().network
    runs = {path.name for path in folder.runs.iterdir() if path.is_dir()}
    runs |= {file.stem for file in folder.submissions.glob("*.json")}
    unfinished = any(read_result(folder.runs / run) is None for run in runs)
    engine_states = Control(folder).run_states() if serving and unfinished else {}
    return {
        "superlink": {
            "serving": serving,
            "port": network.port,
            "proxy_port": network.proxy_port,
            "certificate_days_left": days_left(folder.pki / "server.crt"),
        },
        "sites": [asdict(site) for site in SiteRegister(folder).sites()],
        "runs": [run_status(folder, run, engine_states) for run in sorted(runs)],
    }


def run_status(
    folder: CoordinatorFolder, run: str, engine_states: dict[str, str]
) -> dict[str, Any]:
    """A run's state, phase and round.

    The state is `completed` or `failed` by the run's own result; without one it is `running`
    or `stopped` as the engine says, `failed` when the engine says that it has ended, and
    `interrupted` when no engine knows of it.
    """
    run_folder = folder.runs / run
    events = ProgressReader(run_folder / "progress.jsonl").new_events()
    last = next((event for event in reversed(events) if event.get("event") == "round"), {})
    result = read_result(run_folder)
    submitted = _submitted(folder.submissions / f"{run}.json")
    if result is not None:
        state = result["status"]
    else:
        state = _state_without_result(engine_states.get(submitted.get("run_id", "")))
    return {
        "run": run,
        "state": state,
        "study": submitted.get("study"),
        "phase": last.get("phase"),
        "round": last.get("round"),
        "num_rounds": last.get("num_rounds"),
        "message": result.get("message") if result else None,
    }


def _state_without_result(engine_state: str | None) -> str:
    if engine_state is None:
        return "interrupted"
    if engine_state == "finished:stopped":
        return "stopped"
    return "failed" if engine_state.startswith("finished") else "running"


def _submitted(record: Path) -> dict[str, Any]:
    text = record.read_text(encoding="utf-8") if record.exists() else ""
    # Empty while the engine has not answered yet.
    content: dict[str, Any] = json.loads(text) if text else {}
    return content
