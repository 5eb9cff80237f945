"""`seal`: what a process that computes gives up before it does anything else.

It has two pipes to its worker and its log; it keeps no descriptor but these, writes below the
site's work folder alone and no file that others may read, leaves no image of its memory behind,
gains no rights, and ends with its worker.
"""

import os
import resource
import signal
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from fedehr_client.child.confinement import Confinement, confine
from fedehr_client.child.isolation import Isolation, isolate
from fedehr_client.child.kernel import (
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    prctl,
)

FIRST_TO_GO = 900
"""Of 1,000: where a machine's memory runs out, the system ends this process before others."""


@dataclass(frozen=True)
class Sealed:
    """What is left to it.

    Attributes:
        requests: from the worker.
        answers: to the worker.
        isolation: what keeps it from the network.
        confinement: where it may write.
    """

    requests: FileIO
    answers: BinaryIO
    isolation: Isolation
    confinement: Confinement

    def describe(self) -> str:
        """Both, in one sentence for a log."""
        return f"{self.isolation.describe()}; {self.confinement.describe()}"


def seal(worker: int, processors: frozenset[int], work: Path) -> Sealed:
    """Give up the rest.

    Args:
        worker: the process id of the worker; one that has ended meanwhile ends this process.
        processors: to run on; none: all.
        work: the site's work folder, which is there.

    Raises:
        OSError: the system refuses what it refuses nobody else.
    """
    requests, answers = _own_pipes()
    _close_all_but(requests, answers)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO), encoding="utf-8")
    if processors:
        os.sched_setaffinity(0, processors)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    isolation = isolate()
    confinement = confine(work)
    # After the namespaces: the kernel forgets both where a process changes who it is.
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:
        os._exit(0)
    reader, writer = FileIO(requests, "rb"), os.fdopen(answers, "wb")
    return Sealed(reader, writer, isolation, confinement)


def _own_pipes() -> tuple[int, int]:
    """The two pipes away from where libraries print: their output goes to the log."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return requests, answers


def _close_all_but(*kept: int) -> None:
    """An inherited socket would stay usable whatever else is given up."""
    open_ones = [int(name) for name in os.listdir("/proc/self/fd")]
    for descriptor in set(open_ones) - {0, 1, 2, *kept}:
        try:
            os.close(descriptor)
        except OSError:
            continue  # the folder that was just listed
