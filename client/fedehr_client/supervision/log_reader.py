"""Reading a node's logs: the end of one, and what comes after it."""

import time
from collections.abc import Callable, Mapping

from fedehr_client.supervision.log_tail import LogTail

_POLL_SECONDS = 0.3


def last_lines(tail: LogTail, num_lines: int) -> list[str]:
    """The last lines before what `tail` will read, without line ends."""
    return tail.before().splitlines()[-num_lines:] if num_lines else []


def follow_logs(tails: Mapping[str, LogTail], show: Callable[[str, str], None]) -> None:
    """Show each line that is added, until interrupted.

    Args:
        tails: by name of the process.
        show: is given the name and the line.
    """
    begun = dict.fromkeys(tails, "")
    while True:
        for name, tail in tails.items():
            *lines, begun[name] = (begun[name] + tail.read()).split("\n")
            for line in lines:
                show(name, line)
        time.sleep(_POLL_SECONDS)
