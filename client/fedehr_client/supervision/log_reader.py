"""Reading a node's logs: the end of one, and what comes after it."""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from fedehr_client.supervision.log_tail import LogTail

_POLL_SECONDS = 0.3


def last_lines(file: Path, num_lines: int) -> list[str]:
    """The end of a log, without line ends; nothing where there is none yet."""
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            return [line.rstrip("\n") for line in deque(stream, num_lines)]
    except FileNotFoundError:
        return []


def follow_logs(files: dict[str, Path], show: Callable[[str, str], None]) -> None:
    """Show each line that is added, until interrupted.

    Args:
        files: by name of the process.
        show: is given the name and the line.
    """
    tails = {name: LogTail(file) for name, file in files.items()}
    begun = dict.fromkeys(files, "")
    while True:
        for name, tail in tails.items():
            *lines, begun[name] = (begun[name] + tail.read()).split("\n")
            for line in lines:
                show(name, line)
        time.sleep(_POLL_SECONDS)
