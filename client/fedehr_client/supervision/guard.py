"""`start_guard`: a small process that ends what a killed supervisor leaves running.

    python -m fedehr_client.supervision.guard STATE     standard input: a pipe of the supervisor

A supervisor that is killed cannot end its processes any more. The guard sees the pipe close,
asks each of them once to end, and kills what does not. (The system can send a signal at a
parent's death too, but sends it once for each of the parent's threads, and the SuperNode takes
a second one for a reason to leave without saying so to the coordinator.)
"""

import contextlib
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fedehr_shared.processes import ProcessFamily

FAMILIES = ("worker", "supernode")
"""Names of the records in the state folder, of the processes that a supervisor keeps alive."""
GRACE_SECONDS = 8.0


def start_guard(state: Path) -> "subprocess.Popen[bytes]":
    """Start one for the calling process; it ends by itself when that has ended.

    Args:
        state: the node's state folder.

    Raises:
        OSError: it cannot be started.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "fedehr_client.supervision.guard", str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def end_leftovers(state: Path) -> int:
    """End the processes in the records as they are now; returns how many there were.

    Not those of a supervisor that a person starts meanwhile: they get records of their own.
    """
    copies = [copy for name in FAMILIES if (copy := _copy(state, name)) is not None]
    with ThreadPoolExecutor(len(FAMILIES)) as pool:
        stops = [pool.submit(ProcessFamily(copy).stop, GRACE_SECONDS) for copy in copies]
        return sum(stop.result() for stop in stops)


def _copy(state: Path, name: str) -> Path | None:
    copy = state / f".guard-{name}.json"
    try:
        return Path(shutil.copyfile(state / f"{name}.json", copy))
    except FileNotFoundError:
        return None


def main() -> None:
    """Wait for the supervisor's end."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        sys.stdin.buffer.read()
    end_leftovers(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
