"""`RunningNode`: a node's supervisor and processes, as other commands see and end them."""

import contextlib
import signal
import time

import psutil

from fedehr_client.node.folder import NodeFolder
from fedehr_client.supervision.guard import FAMILIES
from fedehr_client.supervision.run_lock import RunLock
from fedehr_shared.errors import UsageError
from fedehr_shared.processes import ProcessFamily

END_SECONDS = 30.0
"""In which a supervisor ends everything it keeps."""
_GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.1


class RunningNode:
    """By the lock that a supervisor holds, and by the marks that its processes carry."""

    def __init__(self, node: NodeFolder) -> None:
        """Nothing is looked at yet."""
        self._lock = RunLock(node.state)
        self._families = [ProcessFamily(node.state / f"{name}.json") for name in FAMILIES]

    @property
    def pid(self) -> int | None:
        """The supervisor's process; None where there is none."""
        return self._lock.holder()

    def is_running(self) -> bool:
        """Whether there is a supervisor, or anything that a killed one left."""
        return self.pid is not None or bool(self._members())

    def stop(self) -> int:
        """End the supervisor, and with it or after it all its processes.

        Returns:
            How many processes there were.

        Raises:
            NetworkError: a process could not be ended.
        """
        pid = self.pid
        num = len(self._members()) + (pid is not None)
        if pid is not None:
            self._end(pid)
        for family in self._families:
            family.stop(_GRACE_SECONDS)
        return num

    def _members(self) -> list[int]:
        return [pid for family in self._families for pid in family.members()]

    def _end(self, pid: int) -> None:
        try:
            process = psutil.Process(pid)
        except psutil.NoSuchProcess:
            return
        for number, seconds in ((signal.SIGTERM, END_SECONDS), (signal.SIGKILL, _GRACE_SECONDS)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
            deadline = time.monotonic() + seconds
            while _is_alive(process):
                if time.monotonic() > deadline:
                    break
                time.sleep(_POLL_SECONDS)
            else:
                return


def already_running(node: NodeFolder) -> UsageError:
    """That there can be only one."""
    return UsageError(
        f"the node in {node.path} runs already: `fedehr-client status {node.path}` shows it. To "
        f"start it anew, stop it first with `fedehr-client stop {node.path}`."
    )


def _is_alive(process: psutil.Process) -> bool:
    """One that only waits for its parent's notice (a zombie) is not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
