"""`confine`: this process gives up writing anywhere but in the site's work folder.

To be called before any thread starts: a thread that runs already keeps its rights.
"""

import errno
import os
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from fedehr_client.child.kernel import num_threads
from fedehr_client.child.landlock import Landlock

_SHARED_MEMORY = Path("/dev/shm")
"""Locks between processes lie nowhere else."""
_DEVICES = (
    "null", "zero", "full", "nvidia*", "nvidia-caps/*", "nvidia-caps-imex-channels/*", "kfd",
    "dri/*", "dxg",
)  # fmt: skip
"""What computes on a GPU opens its device to write, of NVIDIA, AMD and Windows' Linux."""
_FOREIGN_FILE = Path("/proc/self/comm")
"""Each process may write its own, unless it has given that up."""


@dataclass(frozen=True)
class Confinement:
    """What a process may write.

    Attributes:
        folders: below these; none: wherever its account may.
        fault: what is wrong with it, in words; empty: nothing.
    """

    folders: tuple[Path, ...] = ()
    fault: str = ""

    def describe(self) -> str:
        """One sentence for a log."""
        if not self.folders:
            return f"it can write wherever its account can: {self.fault}"
        but = f", but {self.fault}" if self.fault else ""
        return f"it can write below {' and '.join(map(str, self.folders))} alone{but}"


def confine(work: Path) -> Confinement:
    """Give up writing elsewhere for good; where the kernel cannot, say so.

    Args:
        work: the site's work folder, which is there.
    """
    if num_threads() != 1:
        return Confinement(fault="threads were running already")
    folders = (work, _SHARED_MEMORY) if _SHARED_MEMORY.is_dir() else (work,)
    try:
        landlock = Landlock()
        for place in chain(folders, _devices()):
            landlock.keep(place)
        landlock.restrict()
    except OSError as error:
        return Confinement(fault=_fault(error))
    if not _is_refused(_FOREIGN_FILE):
        return Confinement(fault="the kernel's Landlock does not hold")
    if not landlock.can_refuse_emptying:
        return Confinement(folders, "can empty files elsewhere, which Linux 6.2 would refuse")
    return Confinement(folders)


def _devices() -> list[Path]:
    return [
        file for pattern in _DEVICES for file in Path("/dev").glob(pattern) if not file.is_dir()
    ]


def _is_refused(file: Path) -> bool:
    try:
        os.close(os.open(file, os.O_WRONLY))
    except OSError:
        return True
    return False


def _fault(error: OSError) -> str:
    reasons = {
        errno.ENOSYS: "the kernel has no Landlock",
        errno.EOPNOTSUPP: "the kernel's Landlock is switched off (its boot option lsm=)",
    }
    return f"{reasons.get(error.errno or 0, 'Landlock cannot be used')} ({error.strerror})"
