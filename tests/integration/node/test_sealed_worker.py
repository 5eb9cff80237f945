"""The worker's process: what it loads, when it ends, and that it answers whatever it is sent."""

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedehr_client.records import from_records
from fedehr_shared.wire.payload import Payload

pytestmark = pytest.mark.debian


def maps(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def error_code(answer: Payload) -> str:
    assert set(answer.values) == {"error"}
    assert not answer.tensors
    return answer.text("error", "code")


def test_a_study_is_proposed_approved_worked_for_and_ended(hospital: Any) -> None:
    hospital.start()
    answered = hospital.answer(hospital.proposal())
    assert answered.values == {"proposal": {"site": "hospital-1", "state": "waiting"}}
    assert error_code(hospital.answer(hospital.work())) == "not_approved"

    hospital.approve()
    assert hospital.answer(hospital.proposal()).text("proposal", "state") == "approved"
    first = hospital.answer(hospital.work())
    assert "error" not in first.values, hospital.log.read_text()
    child = hospital.wait_for_child()
    seen = child.create_time()
    # Asked again, it is sent again: the same bytes, and nothing is computed.
    assert hospital.answer(hospital.work(attempt=2)) == first
    assert "answered from what was kept" in hospital.log.read_text()

    # A second run on the same approval, and a bundle that the contract does not name.
    assert error_code(hospital.answer(hospital.work(), run_id=12)) == "contract"
    assert hospital.wait_for_child().create_time() == seen

    # The worker does not hold torch; its child does.
    assert "libtorch" not in maps(hospital.process.pid)
    assert "libtorch" in maps(child.pid)

    assert hospital.answer(hospital.end()).values == {"end": {"site": "hospital-1"}}
    assert not list((hospital.folder.outbox / "kept").rglob("*.answer"))
    psutil.wait_procs([child], 10)
    assert not child.is_running()
    assert hospital.stop() == 0


def test_another_bundle_is_refused_and_nothing_of_it_is_written(
    hospital: Any, runtime_node: Any, tmp_path: Path
) -> None:
    trace = tmp_path / "ran"
    code = f"open({str(trace)!r}, 'w').close()\n"
    modules = {"fedehr_client/app.py": code, "fedehr_client/__init__.py": code, "x.py": code}
    hospital.runtime.content = runtime_node.bundle(**modules)
    hospital.approve()
    hospital.start()
    assert error_code(hospital.answer(hospital.work())) == "contract"
    assert not trace.exists()
    assert not [file for file in hospital.folder.path.rglob("*") if file.suffix in {".py", ".fab"}]


ODD_REQUESTS = {
    "empty": Payload(),
    "no values": Payload({"model": b"x" * 1_000}),
    "no work id": Payload(values={"work": {}}),
    "no contract": Payload(values={"work": {"work_id": "a/b/c/d", "contract": "z"}}),
    "unsigned": Payload(values={"proposal": {"text": "{}", "signature": "", "certificate": ""}}),
    "unknown end": Payload(values={"end": {"contract": "0" * 64, "model": ""}}),
    "two kinds": Payload(values={"work": {"contract": [1, 2]}, "end": {"contract": 1.5}}),
}


def test_requests_of_any_shape_are_answered_by_a_code(hospital: Any) -> None:
    hospital.start()
    codes = {name: error_code(hospital.answer(odd)) for name, odd in ODD_REQUESTS.items()}
    assert set(codes.values()) <= {"wire", "contract"}, codes
    assert codes["unsigned"] == codes["unknown end"] == "contract"
    assert "Traceback" not in hospital.log.read_text()


def test_it_ends_in_time_with_its_child_while_it_computes(hospital: Any) -> None:
    hospital.approve()
    hospital.start()
    asked = hospital.ask(hospital.work())
    child = hospital.wait_for_child()
    begin = time.monotonic()
    assert hospital.stop() == 0
    assert time.monotonic() - begin < 10
    psutil.wait_procs([child], 5)
    assert not child.is_running()
    # The coordinator is told, and asks again.
    assert error_code(from_records(asked.result(10).content)) == "busy"


@pytest.mark.long
def test_it_ends_in_time_though_the_supernode_hangs(hospital: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        hospital.start(port=hanging.getsockname()[1])
        connection, _ = hanging.accept()
        with connection:
            begin = time.monotonic()
            hospital.stop()
            assert time.monotonic() - begin < 10


@pytest.mark.long
def test_it_waits_for_a_supernode_that_comes_back(hospital: Any, runtime_node: Any) -> None:
    hospital.start()
    assert error_code(hospital.answer(Payload())) == "wire"
    port = runtime_node.free_port()
    hospital.stop()
    hospital.start(port=port)
    deadline = time.monotonic() + 30
    while "does not answer" not in hospital.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with runtime_node.running_node(port) as back:
        hospital.runtime = back
        assert error_code(hospital.answer(Payload())) == "wire"
    assert hospital.process.poll() is None
    assert "answers again" in hospital.log.read_text()


def test_a_wrong_secret_is_said_and_ends_it(hospital: Any) -> None:
    hospital.start(secret=b"of another node")
    assert hospital.process.wait(30) == 5
    assert "secret" in hospital.log.read_text()
    assert "Traceback" not in hospital.log.read_text()


@pytest.mark.long
def test_a_killed_child_is_an_error_and_the_next_request_is_worked_on(hospital: Any) -> None:
    hospital.approve()
    hospital.start()
    asked = hospital.ask(hospital.work())
    os.kill(hospital.wait_for_child().pid, signal.SIGKILL)
    assert error_code(from_records(asked.result(60).content)) == "compute"
    assert "error" not in hospital.answer(hospital.work(attempt=2)).values
