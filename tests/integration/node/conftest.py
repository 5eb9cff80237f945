"""A real worker process, at the engine's own API, with real records and signed contracts."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from fedehr_client.audit.log import Audit
from fedehr_client.cli.main import app
from fedehr_client.contracts.store import ContractStore
from fedehr_client.engine.supernode import supernode_environment
from fedehr_client.ledger.entry import Reserved
from fedehr_client.ledger.ledger_file import LedgerFile
from fedehr_client.node.folder import NodeFolder
from fedehr_client.records import from_records, to_records
from fedehr_client.worker.command import worker_command
from fedehr_shared.contract.requests import End, Proposal, under_contract
from fedehr_shared.contract.signed_contract import SignedContract
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import Work, WorkId

ANSWER_SECONDS = 120.0
NOTE_SECONDS = 60.0
"""What was spent is reckoned after a round's answer, in a process of its own."""
NOISY: dict[str, Any] = {
    "vocabulary": {"min_sites": 1, "noise_epsilon": 50.0, "noise_delta": 1e-6},
    "federation": {"min_sites": 1},
    "privacy": {
        "mechanism": "local",
        "noise_multiplier": 1.0,
        "target_delta": 1e-5,
        "nominal_subjects": 100,
    },
    "pretraining": {"rounds": 1, "steps_per_round": 60},
    "finetuning": {"rounds": 1},
}
"""Noise in all that a site sends of its subjects; a round of pre-training can be caught at work."""


@dataclass
class Hospital:
    """A node folder, the SuperNode that its worker serves, and the worker's process."""

    folder: NodeFolder
    runtime: Any
    study: Any
    signed: SignedContract
    digest: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder.path / "logs" / "worker.log"

    def start(self, port: int | None = None, secret: bytes | None = None) -> None:
        self.folder.secret_file.parent.mkdir(exist_ok=True)
        self.log.parent.mkdir(exist_ok=True)
        self.folder.secret_file.write_bytes(secret or b"a secret of this test")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                worker_command(self.folder.path, port or self.runtime.port),
                env=supernode_environment(self.folder),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ask(self, payload: Payload, run_id: int = 11) -> Any:
        return self.runtime.ask(to_records(payload), run_id=run_id)

    def answer(self, payload: Payload, run_id: int = 11) -> Payload:
        return from_records(self.ask(payload, run_id).result(ANSWER_SECONDS).content)

    def proposal(self) -> Payload:
        return Proposal(self.signed).to_payload()

    def work(self, phase: Any = "vocabulary", number: int = 1, attempt: int = 1) -> Payload:
        work = Work(WorkId(self.study.digest, phase, number, attempt), self.study)
        return under_contract(work.to_payload(), self.digest, self.signed)

    def end(self) -> Payload:
        return End(self.digest, "a" * 64).to_payload()

    def approve(self) -> None:
        store = ContractStore(self.folder)
        store.receive(self.signed)
        store.approve(self.digest, "tester")

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def kill(self) -> None:
        """Without warning; its children go with it."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def children(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def wait_for_child(self) -> psutil.Process:
        deadline = time.monotonic() + 60
        while True:
            for child in self.children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "fedehr_client.child" in child.cmdline():
                        return child
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)


@pytest.fixture
def opened() -> Iterator[contextlib.ExitStack]:
    """What is open until the test ends."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def make_hospital(
    tmp_path: Path,
    contract_office: Any,
    runtime_node: Any,
    hospitals: Any,
    opened: contextlib.ExitStack,
) -> Callable[..., Hospital]:
    """`make_hospital(study, subject_epsilon=8.0)`: with these ceilings; nothing runs or is approved
    yet."""

    def make(study: Any, **ceilings: float) -> Hospital:
        office = contract_office.ContractOffice.open(tmp_path / "pki")
        folder = NodeFolder(tmp_path / "node")
        folder.path.mkdir()
        (folder.path / "ca.crt").write_bytes(office.authority.read_bytes())
        _write_site_file(folder, hospitals.sites[0], {"min_cell": 5, **ceilings})
        runtime = opened.enter_context(runtime_node.running_node())
        names = tuple(each.name for each in hospitals.sites)
        bundle = hashlib.sha256(runtime.content).hexdigest()
        signed = office.sign(study, sites=names, bundle_sha256=bundle)
        digest = hashlib.sha256(signed.text.encode()).hexdigest()
        made = Hospital(folder, runtime, study, signed, digest)
        opened.callback(made.kill)
        return made

    return make


def _write_site_file(folder: NodeFolder, site: Any, ceilings: dict[str, float]) -> None:
    told = "".join(f"{key} = {value}\n" for key, value in ceilings.items())
    folder.site_file.write_text(
        f'[site]\nname = "{site.name}"\nrecords = {json.dumps(str(site.path))}\n'
        f"[ceilings]\n{told}[compute]\nnum_threads = 1\n"
        '[network]\ncoordinator = "coordinator.example:443"\n'
        'root_certificates = "ca.crt"\nprivate_key = "node.key"\n'
    )


@pytest.fixture
def hospital(make_hospital: Callable[..., Hospital], make_study: Callable[..., Any]) -> Hospital:
    """Its worker is not started yet, and nothing is approved."""
    return make_hospital(make_study())


@dataclass
class PrivateSite:
    """A hospital that a study with noise is asked of, and the books that it keeps of it."""

    hospital: Hospital
    requests: dict[tuple[str, int], Payload]

    def request(self, phase: str, number: int, attempt: int = 1) -> Payload:
        work = Work.from_payload(self.requests[phase, number])
        study = self.hospital.study
        work = replace(work, id=replace(work.id, digest=study.digest, attempt=attempt), study=study)
        return under_contract(work.to_payload(), self.hospital.digest, self.hospital.signed)

    def ask(self, phase: str, number: int, attempt: int = 1) -> Any:
        return self.hospital.ask(self.request(phase, number, attempt))

    def answer(self, phase: str, number: int, attempt: int = 1) -> Payload:
        return self.hospital.answer(self.request(phase, number, attempt))

    @property
    def work(self) -> Path:
        return self.hospital.folder.config().site.work

    @property
    def ledger(self) -> Path:
        return self.work / "privacy" / "ledger.jsonl"

    @property
    def charged(self) -> list[tuple[str, int]]:
        """Rounds, in the order in which they were charged."""
        entries = LedgerFile(self.work, "any").read()
        return [(e.phase, e.round) for e in entries if isinstance(e, Reserved)]

    @property
    def budget(self) -> dict[str, Any]:
        """What `fedehr-client budget` tells."""
        words = ["budget", str(self.hospital.folder.path), "--json"]
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    @property
    def audit(self) -> list[dict[str, Any]]:
        return list(Audit(self.hospital.folder.audit_file).lines())

    @property
    def noted(self) -> list[tuple[str, Any, float]]:
        """What the audit says was spent, line by line: contract, epsilon and delta."""
        lines = [line for line in self.audit if line["event"] == "epsilon"]
        return [(line["contract"], line["subject_epsilon"], line["delta"]) for line in lines]

    def wait_for_note(self) -> Any:
        """Until the audit's last word is the budget command's; that epsilon."""
        told = self.budget
        expected = (self.hospital.digest, told["subject_epsilon"]["spent"], told["subject_delta"])
        self.wait_for(lambda: self.noted[-1:] == [expected], NOTE_SECONDS)
        return expected[1]

    def wait_for(self, done: Callable[[], bool], seconds: float = ANSWER_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, (self.noted, self.hospital.log.read_text())
            time.sleep(0.002)


@pytest.fixture(scope="session")
def noisy_requests(
    make_study: Callable[..., Any],
    hospitals: Any,
    run_study_in_process: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[tuple[str, int], Payload]:
    """What one site is asked in a whole study, in order."""
    folder = tmp_path_factory.mktemp("noisy")
    run = run_study_in_process(make_study(**NOISY), hospitals.sites[:1], folder)
    return {(m.phase, m.round): m.payload for m in run.messages if m.direction == "down"}


@pytest.fixture
def make_private_site(
    make_hospital: Callable[..., Hospital],
    make_study: Callable[..., Any],
    noisy_requests: dict[tuple[str, int], Payload],
) -> Callable[..., PrivateSite]:
    """`make_private_site(subject_epsilon=8.0)`: with these ceilings, and the study approved.

    `changes`: of the study's sections. The worker runs.
    """

    def make(changes: dict[str, Any] | None = None, **ceilings: float) -> PrivateSite:
        study = make_study(**{**NOISY, **(changes or {})})
        hospital = make_hospital(study, min_sites=1, **ceilings)
        hospital.approve()
        hospital.start()
        return PrivateSite(hospital, noisy_requests)

    return make
