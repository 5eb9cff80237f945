"""`Field`: a network with hospitals' nodes, and runs of one small study over it."""

import hashlib
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedehr_server.bundle import copy_bundle
from fedehr_server.network.contract_draft import ContractWishes, draft_contract
from fedehr_server.network.contract_shelf import ContractShelf
from fedehr_server.network.control import Control
from fedehr_server.network.coordinator import CoordinatorFolder, open_coordinator
from fedehr_server.run_order import RunOrder
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.processes import engine_environment, engine_program

RUN_SECONDS = 600.0
ONE_THREAD = {"num_threads": 1, "device": "cpu", "precision": "fp32"}
"""As in `run_study_in_process`, for the same bits."""
SECTIONS: dict[str, Any] = {
    "federation": {
        "min_sites": 2, "join_deadline_seconds": 120.0, "round_deadline_seconds": 300.0,
        "max_attempts": 10,
    },
    "pretraining": {"rounds": 2, "steps_per_round": 2, "steps_per_epoch": 4},
    "finetuning": {"rounds": 1, "steps_per_round": 2, "steps_per_epoch": 4, "tasks": ["death"]},
}  # fmt: skip


@dataclass
class Run:
    """A study under way."""

    folder: Path
    run_id: str
    control: Control

    def events(self, event: str) -> list[dict[str, Any]]:
        """What the run has written down so far."""
        file = self.folder / "progress.jsonl"
        text = file.read_text() if file.exists() else ""
        found = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
        return [one for one in found if one["event"] == event]

    def num_rounds(self) -> int:
        """That have closed."""
        return len(self.events("round"))

    def wait_for_rounds(self, number: int, seconds: float = 180.0) -> None:
        """Until so many have closed."""
        deadline = time.monotonic() + seconds
        while self.num_rounds() < number:
            result = self.folder / "result.json"
            assert not result.exists() or self.num_rounds() >= number, result.read_text()
            self._require_alive(deadline)
            time.sleep(0.02)

    def finish(self, seconds: float = RUN_SECONDS) -> dict[str, Any]:
        """Wait for the run's result."""
        deadline = time.monotonic() + seconds
        result = self.folder / "result.json"
        while not result.exists():
            self._require_alive(deadline)
            time.sleep(0.2)
        content: dict[str, Any] = json.loads(result.read_text())
        return content

    def digests(self) -> dict[str, str]:
        """The SHA-256 of every tensor file that the run's manifests vouch for, by checkpoint."""
        return digests_of(self.folder)

    def _require_alive(self, deadline: float) -> None:
        if (self.folder / "result.json").exists():
            return
        assert time.monotonic() < deadline, self.control.run_output(self.run_id)


class Field:
    """A coordinator and its sites' nodes."""

    def __init__(self, network: Any) -> None:
        self.network = network

    @property
    def coordinator(self) -> CoordinatorFolder:
        """Its folder."""
        return open_coordinator(self.network.coordinator)

    def contract(
        self, study: StudyConfig, bundle: Path | None = None, **wishes: Any
    ) -> tuple[StudyContract, Path]:
        """Sign one; the contract and its file. `bundle`: a folder of code that it names."""
        draft = draft_contract(self.coordinator, study, ContractWishes(**wishes))
        if bundle is not None:
            draft = draft.model_copy(update={"bundle_sha256": bundle_sha256(bundle)})
        shelf = ContractShelf(self.coordinator)
        shelf.sign(draft)
        return draft, shelf.file_of(draft.digest)

    def approve(self, file: Path, *names: str) -> None:
        """At these sites; at all, where none is named."""
        for name in names or self.network.nodes:
            self.network.must("fedehr-client", "approve", self.network.nodes[name], file, "--yes")

    def start(
        self, study: StudyConfig, contract: StudyContract, run: str, bundle: Path | None = None
    ) -> Run:
        """Start a run under a contract; `bundle`: a folder of code in place of fedehr's own."""
        coordinator = self.coordinator
        (coordinator.studies / f"{study.digest}.json").write_text(study.to_json())
        order = RunOrder(study.digest, len(contract.sites), contract.digest)
        order.save(coordinator.submissions / f"{run}.json")
        settings: dict[str, str | int] = {
            "study": study.digest,
            "run": run,
            "num-sites": order.num_sites,
        }
        control = Control(coordinator)
        with tempfile.TemporaryDirectory() as alone:
            folder = bundle or copy_bundle(Path(alone) / "bundle")
            run_id = control.start_run(folder, settings)
        return Run(coordinator.runs / run, run_id, control)

    def audit(self, name: str) -> list[dict[str, Any]]:
        """The lines of a node's audit."""
        return audit_of(self.network.nodes[name])


def audit_of(node: Path) -> list[dict[str, Any]]:
    """The lines of a node's audit."""
    file = node / "audit.jsonl"
    text = file.read_text() if file.exists() else ""
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def bundle_sha256(folder: Path) -> str:
    """What the engine names a bundle by."""
    with tempfile.TemporaryDirectory() as alone:
        subprocess.run(
            [engine_program("flwr"), "build", "--app", str(folder)],
            cwd=alone, env=engine_environment(FLWR_HOME=alone), check=True, capture_output=True,
        )  # fmt: skip
        (built,) = Path(alone).glob("*.fab")
        return hashlib.sha256(built.read_bytes()).hexdigest()


def digests_of(run: Path) -> dict[str, str]:
    """The SHA-256 of every tensor file that a run's manifests vouch for, by checkpoint."""
    found = {}
    for manifest in sorted(run.glob("checkpoints/*/manifest.json")):
        for name, digest in json.loads(manifest.read_text())["sha256"].items():
            found[f"{manifest.parent.name}/{name}"] = digest
    assert found
    return found


def wait_until(done: Callable[[], Any], seconds: float, what: str = "it") -> Any:
    """Poll until `done` gives something; that."""
    deadline = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} seconds"
        time.sleep(0.02)
    return found
