"""What a coordinator knows about itself: is it up, who is connected, what has run."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedehr_server.network.certificates import days_left
from fedehr_server.network.coordinator import CoordinatorFolder
from fedehr_server.network.sites import SiteRegister
from fedehr_server.network.submission import ProgressReader, read_result
from fedehr_server.network.superlink import SuperLink


def coordinator_status(folder: CoordinatorFolder) -> dict[str, Any]:
    """The SuperLink, the sites and the runs of a coordinator folder, ready for JSON."""
    superlink = SuperLink(folder)
    network = folder.config().network
    return {
        "superlink": {
            "serving": superlink.is_serving(),
            "port": network.port,
            "proxy_port": network.proxy_port,
            "certificate_days_left": days_left(folder.pki / "server.crt"),
        },
        "sites": [asdict(site) for site in SiteRegister(folder).sites()],
        "runs": [run_status(path) for path in sorted(folder.runs.iterdir()) if path.is_dir()],
    }


def run_status(run_folder: Path) -> dict[str, Any]:
    """A run's state (`running`, `completed`, `failed`), phase and round."""
    events = ProgressReader(run_folder / "progress.jsonl").new_events()
    last = next((event for event in reversed(events) if event["event"] == "round"), {})
    result = read_result(run_folder)
    return {
        "run": run_folder.name,
        "state": result["status"] if result else "running",
        "study": _submitted(run_folder).get("study"),
        "phase": last.get("phase"),
        "round": last.get("round"),
        "num_rounds": last.get("num_rounds"),
        "message": result.get("message") if result else None,
    }


def _submitted(run_folder: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((run_folder / "submission.json").read_text("utf-8"))
    except FileNotFoundError:
        # The moment between making the folder and the engine's answer.
        return {}
    return content
