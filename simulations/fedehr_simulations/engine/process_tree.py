"""All processes below one, and their end.

The engine's processes sit in several sessions and outlive their parents, so neither one
signal nor one group reaches them all.
"""

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_POLL_SECONDS = 0.05


def adopt_orphans() -> None:
    """Make this process the parent of every orphan below it (Linux), so that none is lost."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies (Linux)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class ProcessTree:
    """Every process ever seen below `root`, without `root` itself."""

    def __init__(self, root: int) -> None:
        self._root = psutil.Process(root)
        self._seen: set[psutil.Process] = set()

    def refresh(self) -> list[psutil.Process]:
        """Look below the root again; return the processes that run, zombies left out."""
        self._add_children(self._root)
        return [process for process in self._seen if _runs(process)]

    def stop(self, grace_seconds: float) -> None:
        """End every process: SIGTERM to each group, SIGKILL to what is left after the grace.

        Returns when none runs.
        """
        deadline = time.monotonic() + grace_seconds
        self._signal(signal.SIGTERM)
        while self._living() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        # A process may start another one while it is being killed: look until none is left.
        while self._living():
            self._signal(signal.SIGKILL)
            time.sleep(_POLL_SECONDS)

    def _living(self) -> list[psutil.Process]:
        self._reap()
        # Below a lost parent the root no longer leads to the children.
        for process in list(self._seen):
            self._add_children(process)
        return self.refresh()

    def _signal(self, number: signal.Signals) -> None:
        for process in self._living():
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                group = os.getpgid(process.pid)
                if group == os.getpgrp():
                    process.send_signal(number)
                else:
                    os.killpg(group, number)

    def _add_children(self, process: psutil.Process) -> None:
        # Raises too where the number now belongs to a stranger.
        with suppress(psutil.NoSuchProcess):
            self._seen.update(process.children(recursive=True))

    def _reap(self) -> None:
        if self._root.pid != os.getpid():
            return
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
