"""Becomes another program that is asked to end when the rehearsal that started it dies.

    python tether.py REHEARSAL_PID PROGRAM ARGUMENT ...

A rehearsal that is killed cannot end its programs any more; the system does it. Run as a file:
it imports nothing of fedehr, since it is in the way of every start.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def tethered(command: Sequence[str]) -> list[str]:
    """The command line that runs `command` for as long as the calling thread's process lives.

    The thread that starts it must be one that lives as long as the process: the main thread.
    """
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid()), *command]


def _main() -> None:
    starter, command = int(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        sys.stderr.write(f"cannot tie the process to its rehearsal: {ctypes.get_errno()}\n")
    # It may have died before the tie was made.
    if os.getppid() != starter:
        sys.exit("the rehearsal is gone")
    os.execv(command[0], command)


if __name__ == "__main__":
    _main()
