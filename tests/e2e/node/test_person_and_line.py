"""What a person does, and what the line does, while a study runs: hold and release, pause and
resume, a study that nobody has approved, a line that is slow and is cut in the middle of an
upload, a disk that is full for a while. The weights are those of an undisturbed run."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.debian, pytest.mark.long]

VICTIM, OTHER = "hospital-1", "hospital-2"
DISK_BYTES = 24 * 2**20


@pytest.fixture
def node(field: Any) -> Path:
    """The victim's folder."""
    folder: Path = field.network.nodes[VICTIM]
    return folder


def _ends_well(run: Any, undisturbed: dict[str, str]) -> None:
    result = run.finish()
    assert (result["status"], result["missing"]) == ("completed", [])
    assert run.digests() == undisturbed


def test_a_study_waits_for_its_approval(
    field: Any, study: Any, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    """Proposed, asked for work, and approved in the middle of the first round."""
    contract, file = field.contract(study, days=21)
    field.approve(file, OTHER)
    run = field.start(study, contract, "unapproved")
    names = {line["code"] for line in _wait_for_refusal(field, contract)}
    assert names == {"not_approved"}
    assert run.num_rounds() == 0
    shown = json.loads(
        field.network.must("fedehr-client", "studies", field.network.nodes[VICTIM], "--json")
    )
    states = {each["contract"]: each["state"] for each in shown["studies"]}
    assert states[contract.digest] == "waiting"
    field.network.must(
        "fedehr-client", "approve", field.network.nodes[VICTIM], contract.digest, "--yes"
    )
    _ends_well(run, undisturbed)


def _wait_for_refusal(field: Any, contract: Any) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 120
    while True:
        found = [
            line
            for line in field.audit(VICTIM)
            if line["event"] == "request_refused" and line.get("contract") == contract.digest
        ]
        if found:
            return found
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_held_answers_leave_when_a_person_releases_them(
    field: Any, study: Any, undisturbed: dict[str, str], node: Path, network_module: Any
) -> None:
    contract, file = field.contract(study, days=22)
    field.approve(file)
    network_module.configure(node, "outbox", hold=True)
    try:
        run = field.start(study, contract, "held")
        num_released = 0
        deadline = time.monotonic() + 300
        while not (run.folder / "result.json").exists():
            assert time.monotonic() < deadline
            for receipt in _receipts(node, contract.digest, "held"):
                assert run.num_rounds() == num_released, "it left without a person"
                field.network.must("fedehr-client", "outbox", "release", node, receipt)
                num_released += 1
            time.sleep(0.5)
    finally:
        network_module.configure(node, "outbox", hold=False)
    _ends_well(run, undisturbed)
    assert num_released == sum(contract.rounds.values())


def _receipts(node: Path, contract: str, verdict: str) -> list[str]:
    found = []
    for file in (node / "outbox" / "receipts").glob("*.json"):
        receipt = json.loads(file.read_text())
        if (receipt["contract"], receipt["verdict"]) == (contract, verdict):
            found.append(receipt["id"])
    return found


def test_a_paused_node_answers_when_it_is_resumed(
    field: Any, study: Any, undisturbed: dict[str, str], node: Path
) -> None:
    contract, file = field.contract(study, days=23)
    field.approve(file)
    run = field.start(study, contract, "paused")
    run.wait_for_rounds(1)
    field.network.must("fedehr-client", "pause", node, "--reason", "maintenance")
    time.sleep(2)
    closed = run.num_rounds()
    time.sleep(12)
    assert run.num_rounds() <= closed + 1
    status = json.loads(field.network.must("fedehr-client", "status", node, "--json"))
    assert status["state"] == "paused"
    field.network.must("fedehr-client", "resume", node)
    _ends_well(run, undisturbed)


def test_a_line_cut_in_an_upload_means_sending_again(
    field: Any, study: Any, undisturbed: dict[str, str]
) -> None:
    """Twice in one round, on a slow line; the round's request came once and was trained once."""
    contract, file = field.contract(study, days=24)
    field.approve(file)
    run = field.start(study, contract, "cut")
    run.wait_for_rounds(1)
    field.proxy.bytes_per_second = 200_000.0
    try:
        for _ in range(2):
            gate = field.proxy.gate("push-object", min_bytes=4_000, after_bytes=2_000)
            assert gate.reached.wait(120)
            gate.cut()
        _ends_well(run, undisturbed)
    finally:
        field.proxy.bytes_per_second = None
    asked = [
        (line["phase"], line["round"])
        for line in field.audit(VICTIM)
        if line["event"] == "round_asked" and line.get("contract") == contract.digest
    ]
    assert len(asked) == len(set(asked)) == sum(contract.rounds.values())


def test_a_coordinator_that_was_away_finds_its_nodes_again(
    field: Any, study: Any, undisturbed: dict[str, str], node: Path
) -> None:
    """The line is dead for longer than the engine's heartbeat."""
    contract, file = field.contract(study, days=25)
    field.approve(file)
    gate = field.proxy.gate("send-node-heartbeat")
    gate.reached.wait(60)
    field.proxy.is_open = False
    gate.cut()
    field.proxy.drop_all()
    time.sleep(70)
    status = json.loads(field.network.must("fedehr-client", "status", node, "--json"))
    assert status["state"] != "stopped"
    field.proxy.is_open = True
    run = field.start(study, contract, "away")
    _ends_well(run, undisturbed)


@pytest.fixture
def small_disk(field: Any, node: Path) -> Iterator[Path]:
    """The victim's outbox lies on a disk of a few megabytes."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    outbox = node / "outbox"
    options = f"size={DISK_BYTES},mode=0700"
    field.network.must("fedehr-client", "stop", node)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(outbox)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"this machine mounts no tmpfs: {done.stderr}")
    try:
        field.network.start(VICTIM)
        yield outbox
    finally:
        field.network.must("fedehr-client", "stop", node)
        subprocess.run(["umount", str(outbox)], check=True)
        field.network.start(VICTIM)


def test_a_full_disk_is_an_error_and_loses_nothing(
    field: Any, study: Any, undisturbed: dict[str, str], small_disk: Path
) -> None:
    contract, file = field.contract(study, days=26)
    field.approve(file)
    run = field.start(study, contract, "full")
    run.wait_for_rounds(1)
    filler = small_disk / "filler"
    _fill(filler)
    time.sleep(15)
    closed = run.num_rounds()
    assert not (run.folder / "result.json").exists()
    filler.unlink()
    _ends_well(run, undisturbed)
    assert closed < sum(contract.rounds.values())
    field.network.must("fedehr-client", "audit", "verify", field.network.nodes[VICTIM])


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as stream:
        for size in (2**16, 2**10, 1):
            while True:
                try:
                    if not stream.write(b"\0" * size):
                        break
                except OSError:
                    break
