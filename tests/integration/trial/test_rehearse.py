"""`fedehr-client rehearse`: a whole study by real programs, of which nothing stays."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedehr_client.node.folder import NodeFolder, create_node
from fedehr_client.scratch import sweep
from fedehr_client.trial.toml_text import toml_text

PROGRAM = Path(sys.executable).parent / "fedehr-client"
SECONDS = 400.0

pytestmark = [pytest.mark.e2e, pytest.mark.long]


@pytest.fixture
def node(tmp_path: Path, hospitals: Any) -> NodeFolder:
    # No coordinator is asked: none is there, and no certificate either.
    return create_node(
        tmp_path / "node", "north", hospitals.sites[0].path, "fedehr.invalid:443", None
    )


@pytest.fixture
def study_file(tmp_path: Path, make_study: Any) -> Path:
    study = make_study(vocabulary={"min_cell": 11}, pretraining={"rounds": 3})
    file = tmp_path / "study.toml"
    file.write_text(toml_text(study.model_dump(mode="json")), encoding="utf-8")
    return file


def _tree(folder: Path) -> dict[str, str]:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def _processes(folder: Path) -> list[list[str]]:
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if any(str(folder) in word for word in command) and "rehearse" not in command:
            found.append(command)
    return found


def _set(node: NodeFolder, before: str, after: str) -> None:
    text = node.site_file.read_text()
    assert before in text
    node.site_file.write_text(text.replace(before, after))


def _rehearse(node: NodeFolder, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAM), "rehearse", str(node.path), *map(str, words)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip


def test_a_study_runs_to_its_end_and_nothing_of_it_counts(
    node: NodeFolder, study_file: Path
) -> None:
    # What would keep a real study waiting for ever.
    _set(node, "hold = false", "hold = true")
    before = _tree(node.path)
    done = _rehearse(node, "--study", study_file, "--rounds", "2", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["status"] == "completed"
    rounds = {phase: found["num_rounds"] for phase, found in told["phases"].items()}
    assert rounds == {"vocabulary": 1, "pretraining": 2, "finetuning": 2, "evaluation": 1}
    assert told["errors"] == {}
    assert {line["verdict"] for line in told["receipts"]} == {"passed"}
    assert len(told["receipts"]) == sum(rounds.values())
    by_phase = sum(found["total_bytes"] for found in told["phases"].values())
    assert by_phase == sum(line["num_bytes"] for line in told["receipts"])
    assert told["whole_study"]["rounds"]["pretraining"] == 3
    assert told["whole_study"]["bytes"] > by_phase
    memory = told["memory_bytes"]
    assert memory["study process"] > memory["worker"] > 10_000_000
    assert memory["at_once"] <= sum(memory.values()) - memory["at_once"]
    assert "outbox.hold" in told["set_aside"]
    assert _tree(node.path) == before
    assert _processes(node.path) == []


def test_a_study_beyond_a_ceiling_is_refused_before_it_runs(
    node: NodeFolder, study_file: Path
) -> None:
    _set(node, '#tasks = ["in_hospital_death"]', 'tasks = ["readmission"]')
    before = _tree(node.path)
    done = _rehearse(node, "--study", study_file)
    assert done.returncode == 6, done.stderr
    assert "tasks" in done.stderr
    assert "running the study" not in done.stderr
    assert _tree(node.path) == before
    assert _processes(node.path) == []


@pytest.fixture
def running(node: NodeFolder, study_file: Path) -> Iterator[subprocess.Popen[str]]:
    """A rehearsal in the middle of its study."""
    # A shell makes what it starts in the background deaf to SIGINT, and so its descendants.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    log = node.path.parent / "told.log"
    command = [str(PROGRAM), "rehearse", str(node.path), "--study", str(study_file)]
    with log.open("w") as told:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=told, stderr=told)
    signal.signal(signal.SIGINT, before)
    try:
        deadline = time.monotonic() + SECONDS
        while "vocabulary round 1" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        assert _processes(node.path)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_it_ends_everything(
    number: signal.Signals, node: NodeFolder, running: subprocess.Popen[str]
) -> None:
    running.send_signal(number)
    assert running.wait(120) == (-9 if number == signal.SIGKILL else 130)
    deadline = time.monotonic() + 60
    while left := _processes(node.path):
        assert time.monotonic() < deadline, left
        time.sleep(0.5)
    work = node.config().site.work
    if number == signal.SIGKILL:
        # Nobody was left to remove the folder: the next rehearsal does, as any import.
        assert any(work.iterdir())
        sweep(work)
    assert list(work.iterdir()) == []
