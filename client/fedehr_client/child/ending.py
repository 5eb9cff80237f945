"""How a process that computes came to its end, in words for the node's log."""

import faulthandler
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType

KIND = "ended by "
"""Begins the line that a process writes about its own end: a kind of error, never its text."""
_MOST_BYTES = 65_536


def hear_of_errors() -> None:
    """Have this process write of its errors, which may quote records, kind and places alone."""
    faulthandler.enable()
    sys.excepthook = _tell
    sys.unraisablehook = lambda about: _tell(about.exc_type, None, about.exc_traceback)
    threading.excepthook = lambda about: _tell(about.exc_type, None, about.exc_traceback)


def _tell(kind: type[BaseException], _: BaseException | None, trace: TracebackType | None) -> None:
    places = "".join(traceback.format_tb(trace))
    sys.stderr.write(f"{places}{KIND}{kind.__name__}\n")


def in_words(status: int, log_file: Path, since: int) -> str:
    """How it ended.

    Args:
        status: as `subprocess` tells it.
        log_file: where it wrote.
        since: bytes that were there when it began.
    """
    return f"{_status_in_words(status)}{_kind(log_file, since)}"


def _status_in_words(status: int) -> str:
    if status >= 0:
        return f"ended by itself with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    causes = {
        "SIGKILL": " (by a person, or by the system for want of memory)",
        "SIGSEGV": " (a fault in compiled code)",
        "SIGABRT": " (compiled code gave up)",
        "SIGBUS": " (a mapped file was cut short, or the disk is full)",
    }
    return f"was ended by {name}{causes.get(name, '')}"


def _kind(log_file: Path, since: int) -> str:
    try:
        with log_file.open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(since if since <= size else 0, size - _MOST_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    kinds = [line.removeprefix(KIND) for line in lines if line.startswith(KIND)]
    return f", by {kinds[-1]}" if kinds and kinds[-1].isidentifier() else ""
