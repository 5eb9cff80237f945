"""Long-running engine processes: started, found again, and ended with all their children.

The engine's programs start further programs, some in sessions of their own, so neither a
process id nor a process group is enough to end them. Every start therefore puts a random
mark into the environment, which all descendants inherit; whoever carries the mark belongs
to the family. Linux only (`/proc`).
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedehr_shared.errors import NetworkError

MARK = "FEDEHR_PROCESS_MARK"
POLL_SECONDS = 0.1


def engine_environment(**settings: str) -> dict[str, str]:
    """This process's environment with `settings`, fit for the engine's programs.

    Telemetry, update checks and usage statistics are off; this interpreter's programs come
    first on the PATH, since the engine starts its own programs by name. A hospital's web
    proxy is used for the coordinator, never for this machine itself.
    """
    programs = str(Path(sys.executable).parent)
    direct = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    direct = ",".join(filter(None, [direct, "127.0.0.1", "localhost"]))
    return {
        **os.environ,
        "PATH": os.pathsep.join([programs, os.environ.get("PATH", os.defpath)]),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": direct,
        "no_proxy": direct,
        **settings,
    }


def engine_program(name: str) -> str:
    """The absolute path of an engine program installed beside this interpreter.

    Raises:
        NetworkError: it is not installed.
    """
    program = Path(sys.executable).parent / name
    if not program.is_file():
        raise NetworkError(f"{program} is missing. Install fedehr and flwr into one environment.")
    return str(program)


class ProcessFamily:
    """One engine process and its descendants, remembered in `record_file`."""

    def __init__(self, record_file: Path) -> None:
        self._record_file = record_file

    def start(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        log_file: Path,
        facts: Mapping[str, Any],
    ) -> subprocess.Popen[bytes]:
        """Start `command` in a session of its own, its output appended to `log_file`.

        `facts` (JSON) are kept in the record, for whoever asks later.

        Raises:
            OSError: the log or the record cannot be written; then nothing runs.
        """
        mark = secrets.token_hex(16)
        with os.fdopen(os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)) as log:
            process = subprocess.Popen(
                command,
                env={**environ, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
            )
        try:
            self._write({"pid": process.pid, "mark": mark, "facts": dict(facts)})
        except OSError:
            # Nobody could find it again.
            process.kill()
            process.wait()
            raise
        return process

    def _write(self, record: dict[str, Any]) -> None:
        partial = self._record_file.with_suffix(".partial")
        partial.write_text(json.dumps(record), encoding="utf-8")
        partial.replace(self._record_file)

    def members(self) -> list[int]:
        """The process ids alive now, the first process first."""
        record = self._record()
        if record is None:
            return []
        return sorted(_carriers(record["mark"]), key=lambda pid: (pid != record["pid"], pid))

    def is_running(self) -> bool:
        """Whether the first process is alive."""
        record = self._record()
        return record is not None and record["pid"] in _carriers(record["mark"])

    def facts(self) -> dict[str, Any]:
        """What `start` was told to remember; empty when nothing was started."""
        record = self._record()
        return dict(record["facts"]) if record else {}

    def stop(self, grace_seconds: float = 15.0) -> int:
        """End every member and wait until none is left; returns how many there were.

        The first process is asked first, so that it can take its leave from its peer; then
        the others; what is left after `grace_seconds` each is killed.

        Raises:
            NetworkError: a process could not be ended.
        """
        members = self.members()
        if members:
            record = self._record() or {}
            _signal([pid for pid in members if pid == record.get("pid")], signal.SIGTERM)
            self._wait(self.is_running, grace_seconds)
            _signal(self.members(), signal.SIGTERM)
            self._wait(lambda: bool(self.members()), grace_seconds)
            _signal(self.members(), signal.SIGKILL)
            self._wait(lambda: bool(self.members()), grace_seconds)
        if left := self.members():
            raise NetworkError(f"processes {left} did not end. End them with `kill -9`.")
        self._record_file.unlink(missing_ok=True)
        return len(members)

    def _wait(self, busy: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while busy() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _record(self) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads(self._record_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return record


@contextlib.contextmanager
def termination_interrupts() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP raise `KeyboardInterrupt`, as SIGINT does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in _ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def follow(process: subprocess.Popen[bytes], log_file: Path) -> int:
    """Copy what comes into `log_file` to standard error until `process` ends.

    Returns:
        The process's exit status.
    """
    with log_file.open("rb") as log:
        log.seek(0, os.SEEK_END)
        while True:
            status = process.poll()
            sys.stderr.buffer.write(log.read())
            sys.stderr.buffer.flush()
            if status is not None:
                return status
            time.sleep(POLL_SECONDS)


_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def _carriers(mark: str) -> set[int]:
    wanted = f"{MARK}={mark}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        # A process may end, or belong to someone else, between listing and reading.
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.add(int(entry.name))
    return found


def _signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
