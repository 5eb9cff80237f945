"""What a supervisor leaves, who holds the lock, and how long to wait: with real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedehr_client.supervision.backoff import Backoff
from fedehr_client.supervision.guard import FAMILIES, end_leftovers, start_guard
from fedehr_client.supervision.json_file import JsonFile
from fedehr_client.supervision.run_lock import RunLock
from fedehr_client.supervision.work_report import WorkReport, read_work
from fedehr_shared.processes import ProcessFamily

HOLD = """
import sys, time
from pathlib import Path
from fedehr_client.supervision.run_lock import RunLock
lock = RunLock(Path(sys.argv[1]))
assert lock.acquire()
print("held", flush=True)
time.sleep(60)
"""
START_GUARDED = """
import os, sys, time
from pathlib import Path
from fedehr_client.supervision.guard import start_guard
from fedehr_shared.processes import ProcessFamily
state, told = Path(sys.argv[1]), Path(sys.argv[2])
guard = start_guard(state)
for name, program in (("worker", sys.argv[3]), ("supernode", sys.argv[4])):
    ProcessFamily(state / f"{name}.json").start(
        [sys.executable, "-c", program, str(told / name)], os.environ, told / "log", {}
    )
print(guard.pid, flush=True)
time.sleep(60)
"""
POLITE = """
import signal, sys, time
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
open(sys.argv[1] + "-up", "w").close()
while not asked:
    time.sleep(0.05)
time.sleep(1.5)
open(sys.argv[1], "w").write(str(len(asked)))
"""
STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1] + "-up", "w").close()
time.sleep(60)
"""


def _within(seconds: float, done: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_killed_holder_holds_no_lock(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    assert lock.holder() is None
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert lock.holder() == holder.pid
        assert not lock.acquire()
        holder.kill()
        holder.wait()
    assert lock.holder() is None
    assert lock.acquire()
    assert RunLock(tmp_path).holder() == os.getpid()
    lock.release()
    assert lock.holder() is None


def test_asking_who_holds_the_lock_keeps_nobody_from_taking_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from fedehr_client.supervision.run_lock import RunLock\n"
        "while True: RunLock(Path(sys.argv[1])).holder()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as asking:
        time.sleep(0.5)
        for _ in range(20):
            lock = RunLock(tmp_path)
            assert lock.acquire()
            lock.release()
        asking.kill()


def _killed_supervisor(state: Path, told: Path, *programs: str) -> int:
    """The guard's process, once the supervisor that it was started by is killed."""
    state.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", START_GUARDED, str(state), str(told), *programs],
        stdout=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stdout is not None
        guard = int(supervisor.stdout.readline())
        assert _within(20, lambda: all((told / f"{name}-up").exists() for name in FAMILIES))
        supervisor.kill()
    return guard


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_what_a_killed_supervisor_leaves_is_asked_once_and_may_take_its_leave(
    tmp_path: Path,
) -> None:
    guard = _killed_supervisor(tmp_path / "state", tmp_path, POLITE, POLITE)
    assert _within(20, lambda: all((tmp_path / name).exists() for name in FAMILIES))
    assert _within(10, lambda: _is_gone(guard))
    assert [(tmp_path / name).read_text() for name in FAMILIES] == ["1", "1"]


def test_what_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedehr_client.supervision.guard.GRACE_SECONDS", 0.5)
    state = tmp_path / "state"
    state.mkdir()
    family = ProcessFamily(state / "worker.json")
    process = family.start(
        [sys.executable, "-c", STUBBORN, str(tmp_path / "worker")], os.environ, tmp_path / "log", {}
    )
    assert _within(20, (tmp_path / "worker-up").exists)
    assert end_leftovers(state) == 1
    assert process.wait(5) == -signal.SIGKILL
    assert end_leftovers(state) == 0


def test_the_guard_of_a_supervisor_that_ended_leaves_with_it(tmp_path: Path) -> None:
    guard = start_guard(tmp_path)
    assert guard.poll() is None
    guard.communicate(timeout=20)
    assert guard.returncode == 0


@given(st.lists(st.floats(0.0, 200.0), max_size=30))
def test_waits_double_up_to_a_minute_and_begin_anew_after_a_stable_one(runs: list[float]) -> None:
    now = [0.0]
    backoff = Backoff(clock=lambda: now[0])
    expected = 1.0
    for seconds in runs:
        backoff.started()
        now[0] += seconds
        if seconds >= 60.0:
            expected = 1.0
        assert backoff.failed() == expected
        expected = min(60.0, 2 * expected)


def test_a_reader_never_sees_half_a_state(tmp_path: Path) -> None:
    file = JsonFile(tmp_path / "state.json")
    code = (
        "import sys; from pathlib import Path; "
        "from fedehr_client.supervision.json_file import JsonFile\n"
        "file, n = JsonFile(Path(sys.argv[1])), 0\n"
        "while True:\n    n += 1\n    file.write({'a': n, 'filling': 'x' * (n % 50000), 'b': n})"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(file.path)]) as writer:
        assert _within(5, file.path.exists)
        first = file.read()["a"]
        assert _within(20, lambda: file.read()["a"] > first + 100)
        seen = [file.read() for _ in range(500)]
        writer.send_signal(signal.SIGKILL)
    assert all(each["a"] == each["b"] for each in seen)
    assert file.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 10**5])
def test_a_damaged_state_says_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "state.json"
    file.write_bytes(content)
    assert JsonFile(file).read() == {}


def test_a_worker_goes_on_counting_where_the_one_before_stopped(tmp_path: Path) -> None:
    now = [1.7e9]
    first = WorkReport(tmp_path, lambda: now[0])
    first.polled()
    first.began("work")
    assert read_work(tmp_path)["task"] == {"kind": "work", "since": now[0]}
    first.answered("lab", "pretraining", 3, 2.5, 1_000)
    first.failed("busy", 10)

    second = WorkReport(tmp_path, lambda: now[0])
    second.failed("busy", 10)
    second.finished(5)
    told = read_work(tmp_path)
    assert (told["num_rounds"], told["num_bytes"], told["errors"]) == (1, 1_025, {"busy": 2})
    assert told["last_round"]["round"] == 3
    assert told["task"] is None
    assert json.dumps(told)


def test_a_worker_killed_with_a_task_in_its_hands_leaves_no_task_behind(tmp_path: Path) -> None:
    WorkReport(tmp_path).began("work")
    WorkReport(tmp_path).polled()
    assert read_work(tmp_path)["task"] is None


def test_an_idle_worker_writes_seldom(tmp_path: Path) -> None:
    now = [1_000.0]
    report = WorkReport(tmp_path, lambda: now[0])
    told = set()
    for tenth in range(200):
        now[0] = 1_000.0 + tenth / 10
        report.polled()
        told.add(read_work(tmp_path)["polled"])
    assert told == {1_000.0, 1_005.0, 1_010.0, 1_015.0}
