"""The worker and the processes that compute for it: none outlives it, and it holds no torch."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

BEHAVING = (sys.executable, str(Path(__file__).parent / "behaving.py"))

WORKER = """
import sys
from pathlib import Path
from fedehr_client.child.config import LimitsConfig
from fedehr_client.child.study_children import StudyChildren
from fedehr_shared.wire.payload import Payload

log, work = Path(sys.argv[2]), Path(sys.argv[1]).parent
children = StudyChildren(Path("site.toml"), work, LimitsConfig(), log, program=sys.argv[3:])
work = Payload(values={"ask": {"what": "hang", "file": sys.argv[1]}})
children.answer("a" * 64, work, lambda: None)
"""


def _wait_until(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_no_process_outlives_its_worker(tmp_path: Path) -> None:
    log_file, file = tmp_path / "child.log", tmp_path / "work" / "pid"
    command = [sys.executable, "-c", WORKER, str(file), str(log_file), *BEHAVING]
    with subprocess.Popen(command) as worker:
        _wait_until(lambda: file.exists() and bool(file.read_text()))
        child = int(file.read_text())
        assert not _is_gone(child)
        worker.send_signal(signal.SIGKILL)
    _wait_until(lambda: _is_gone(child), 5)


def test_a_worker_that_asks_holds_no_torch() -> None:
    code = (
        "import sys, fedehr_client.child.study_children; "
        "sys.exit('torch' in sys.modules or 'flwr' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
