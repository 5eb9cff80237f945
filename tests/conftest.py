"""Two things most tests need: three small hospitals, and whole studies in this process."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

MIN_CELL = 5
SECTIONS: dict[str, Any] = {
    "vocabulary": {"min_cell": MIN_CELL},
    "model": {"layers": 1, "hidden": 16, "heads": 2},
    "sequence": {"context": 64},
    "pretraining": {"rounds": 2, "steps_per_round": 2, "steps_per_epoch": 4},
    "finetuning": {
        "rounds": 2, "steps_per_round": 2, "steps_per_epoch": 4, "tasks": ["death", "long_stay"],
    },
    "evaluation": {"num_bootstraps": 100},
}  # fmt: skip


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Any]:
    """`make_study(pretraining={"rounds": 0})`: the small study with some keys changed."""
    from fedehr_shared.config.study import StudyConfig

    def make(**changes: Any) -> StudyConfig:
        values: dict[str, Any] = {"name": "small", **SECTIONS}
        for key, change in changes.items():
            known = values.get(key)
            values[key] = {**known, **change} if isinstance(known, dict) else change
        return StudyConfig.model_validate(values)

    return make


@pytest.fixture(scope="session")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three synthetic hospitals of 282, 90 and 28 subjects. Read only."""
    from fedehr_shared.meds.folder import FederationFolder
    from fedehr_simulations.hospitals.folder import write_hospitals
    from fedehr_simulations.hospitals.plan import HospitalsPlan

    path = tmp_path_factory.mktemp("small") / "hospitals"
    write_hospitals(path, HospitalsPlan(num_subjects=400, num_sites=3, seed=0))
    return FederationFolder(path)


@pytest.fixture
def copied_hospitals(hospitals: Any, tmp_path: Path) -> Any:
    """A copy of the hospitals that a test may change."""
    from fedehr_shared.meds.folder import FederationFolder

    shutil.copytree(hospitals.path, tmp_path / "hospitals")
    return FederationFolder(tmp_path / "hospitals")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """`small_disk(num_bytes)`: the folder of a file system of its own."""
    with ExitStack() as mounted:

        def make(num_bytes: int) -> Path:
            folder = tmp_path / "disk"
            folder.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", str(folder)]
            if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
                pytest.skip("mounting a small file system takes more than this account may")
            mounted.callback(subprocess.run, ["umount", str(folder)], check=True)
            return folder

        yield make


@pytest.fixture(scope="session")
def fill_disk() -> Callable[..., Path]:
    """`fill_disk(folder, left=n)`: a file that leaves so many bytes of the folder's disk."""

    def fill(folder: Path, *, left: int) -> Path:
        filler = folder / "filler"
        state = os.statvfs(folder)
        with filler.open("wb") as stream:
            stream.write(b"\x5a" * max(0, state.f_bavail * state.f_frsize - left))
        return filler

    return fill


@pytest.fixture(scope="session")
def planted_subject() -> Any:
    """The module `tests/planted_subject.py`: a subject whom nothing resembles, and a search."""
    return _module_beside("planted_subject")


@pytest.fixture(scope="session")
def contract_office() -> Any:
    """The module `tests/contract_office.py`: who signs contracts, and a node that gets them."""
    return _module_beside("contract_office")


@pytest.fixture(scope="session")
def runtime_node() -> Any:
    """The module `tests/runtime_node.py`: the engine's SuperNode without a coordinator."""
    return _module_beside("runtime_node")


def _module_beside(name: str) -> Any:
    file = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Sent:
    """One message as it travelled."""

    phase: str
    round: int
    attempt: int
    direction: str
    node: int
    payload: Any


@dataclass
class StudyInProcess:
    """A whole study in this process, over Flower's records, with every message kept."""

    folder: Path
    work: Path
    messages: list[Sent] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def latest_weights(self) -> dict[str, Any]:
        from fedehr_server.checkpoint import CheckpointFolder, load_weights

        return load_weights(CheckpointFolder(self.folder / "checkpoints").latest("finetuning"))


Alter = Callable[[Sent], list[Any]]


def _transport(run: StudyInProcess, locations: Sequence[Any], alter: Alter | None) -> Any:
    from fedehr_client import records as at_site
    from fedehr_server import grid as at_coordinator
    from fedehr_shared.wire.work import WorkId
    from fedehr_simulations.in_process import InProcessTransport

    class RecordingTransport(InProcessTransport):
        """Passes messages through the records of both ends; `alter` may change answers."""

        def __init__(self) -> None:
            super().__init__(locations)
            self._ids: dict[int, WorkId] = {}

        def push(self, node: int, payload: Any) -> None:
            work_id = WorkId.parse(payload.text("work", "work_id"))
            self._ids[node] = work_id
            arrived = at_site.from_records(at_coordinator.to_records(payload))
            run.messages.append(self._sent("down", node, arrived))
            super().push(node, arrived)

        def pull(self) -> list[tuple[int, Any]]:
            answers: list[tuple[int, Any]] = []
            for node, reply in super().pull():
                arrived = at_coordinator.from_records(at_site.to_records(reply))
                sent = self._sent("up", node, arrived)
                run.messages.append(sent)
                altered = [arrived] if alter is None else alter(sent)
                answers += [(node, payload) for payload in altered]
            return answers

        def _sent(self, direction: str, node: int, payload: Any) -> Sent:
            return _sent_of(self._ids[node], direction, node, payload)

    return RecordingTransport()


@pytest.fixture(scope="session")
def run_study_in_process() -> Callable[..., StudyInProcess]:
    """Run a study over sites; the run's folder is `folder / "run"`, scratch beside it."""
    from fedehr_client.compute.config import ComputeConfig
    from fedehr_client.ledger.ceiling import Ceiling
    from fedehr_client.locator import SiteLocation
    from fedehr_server.running import run_study

    def run(
        study: Any,
        sites: Sequence[Any],
        folder: Path,
        *,
        alter: Alter | None = None,
        min_cell: int | None = None,
        num_sites: int | None = None,
        into: StudyInProcess | None = None,
        ceiling: Any = None,
    ) -> StudyInProcess:
        locations = [
            SiteLocation(
                name=site.name,
                records=site,
                work=folder / "work" / site.name,
                min_cell=study.vocabulary.min_cell if min_cell is None else min_cell,
                # bf16 where the machine has it would make the numbers its own.
                compute=ComputeConfig(device="cpu", num_threads=1, precision="fp32"),
                ceiling=ceiling or Ceiling(),
            )
            for site in sites
        ]
        done = into or StudyInProcess(folder / "run", folder / "work")
        transport = _transport(done, locations, alter)
        done.result = run_study(study, transport, folder / "run", num_sites or len(sites))
        return done

    return run


@pytest.fixture(scope="session")
def new_run() -> type[StudyInProcess]:
    """For `into=`: keeps the messages of a study that fails."""
    return StudyInProcess


@pytest.fixture(scope="session")
def finished_study(
    make_study: Callable[..., Any],
    hospitals: Any,
    run_study_in_process: Callable[..., StudyInProcess],
    tmp_path_factory: pytest.TempPathFactory,
) -> StudyInProcess:
    """The small study over the three hospitals, run once for all tests. Read only."""
    folder = tmp_path_factory.mktemp("finished")
    return run_study_in_process(make_study(), hospitals.sites, folder)


@pytest.fixture(scope="session")
def replay_study(finished_study: StudyInProcess) -> Callable[..., StudyInProcess]:
    """The real coordinator against recorded answers: a whole study without any training.

    `alter` may change, double or drop answers; `seed` shuffles the order in which they come.
    """
    import numpy as np

    from fedehr_server.running import run_study
    from fedehr_shared.wire.work import WorkId

    recorded = {
        (m.node, m.phase, m.round): m.payload
        for m in finished_study.messages
        if m.direction == "up"
    }
    nodes = frozenset(m.node for m in finished_study.messages)

    class ReplayTransport:
        """Answers each request with what the site answered then."""

        def __init__(self, done: StudyInProcess, alter: Alter | None, seed: int | None) -> None:
            self._done, self._alter = done, alter
            self._order = None if seed is None else np.random.default_rng(seed)
            self._waiting: dict[int, WorkId] = {}

        def nodes(self) -> frozenset[int]:
            return nodes

        def push(self, node: int, payload: Any) -> None:
            work = WorkId.parse(payload.text("work", "work_id"))
            self._waiting[node] = work
            self._done.messages.append(_sent_of(work, "down", node, payload))

        def pull(self) -> list[tuple[int, Any]]:
            if not self._waiting:
                return []
            order = sorted(self._waiting)
            if self._order is not None:
                order = self._order.permutation(order)[:2].tolist()
            return [answer for node in order for answer in self._answers(node)]

        def _answers(self, node: int) -> list[tuple[int, Any]]:
            work = self._waiting.pop(node)
            sent = _sent_of(work, "up", node, copy_payload(recorded[node, work.phase, work.round]))
            altered = [sent.payload] if self._alter is None else self._alter(sent)
            return [(node, payload) for payload in altered]

        def wait(self) -> None:
            time.sleep(0.01)

    def replay(
        study: Any, folder: Path, *, alter: Alter | None = None, seed: int | None = None
    ) -> StudyInProcess:
        done = StudyInProcess(folder, folder)
        done.result = run_study(study, ReplayTransport(done, alter, seed), folder, len(nodes))
        return done

    return replay


def _sent_of(work: Any, direction: str, node: int, payload: Any) -> Sent:
    return Sent(work.phase, work.round, work.attempt, direction, node, payload)


def copy_payload(payload: Any) -> Any:
    """A copy whose records may be changed."""
    from fedehr_shared.wire.payload import Payload

    return Payload(dict(payload.tensors), {r: dict(values) for r, values in payload.values.items()})
