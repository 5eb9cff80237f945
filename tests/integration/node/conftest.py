"""A real worker process, at the engine's own API, with real records and signed contracts."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedehr_client.contracts.store import ContractStore
from fedehr_client.engine.supernode import supernode_environment
from fedehr_client.node.folder import NodeFolder
from fedehr_client.records import from_records, to_records
from fedehr_client.worker.command import worker_command
from fedehr_shared.contract.requests import End, Proposal, under_contract
from fedehr_shared.contract.signed_contract import SignedContract
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import Work, WorkId

ANSWER_SECONDS = 120.0


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
def hospital(
    tmp_path: Path,
    contract_office: Any,
    runtime_node: Any,
    hospitals: Any,
    make_study: Callable[..., Any],
) -> Iterator[Hospital]:
    """Its worker is not started yet, and nothing is approved."""
    office = contract_office.ContractOffice.open(tmp_path / "pki")
    study = make_study()
    site = hospitals.sites[0]
    folder = NodeFolder(tmp_path / "node")
    folder.path.mkdir()
    (folder.path / "ca.crt").write_bytes(office.authority.read_bytes())
    folder.site_file.write_text(
        f'[site]\nname = "{site.name}"\nrecords = {json.dumps(str(site.path))}\n'
        "[ceilings]\nmin_cell = 5\n[compute]\nnum_threads = 1\n"
        '[network]\ncoordinator = "coordinator.example:443"\n'
        'root_certificates = "ca.crt"\nprivate_key = "node.key"\n'
    )
    with runtime_node.running_node() as runtime:
        names = tuple(each.name for each in hospitals.sites)
        bundle = hashlib.sha256(runtime.content).hexdigest()
        signed = office.sign(study, sites=names, bundle_sha256=bundle)
        digest = hashlib.sha256(signed.text.encode()).hexdigest()
        made = Hospital(folder, runtime, study, signed, digest)
        yield made
        if made.process is not None and made.process.poll() is None:
            os.killpg(made.process.pid, signal.SIGKILL)
            made.process.wait()
