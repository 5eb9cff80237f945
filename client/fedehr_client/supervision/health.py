"""`Health`: what the supervisor's parts say about the node, put together for those who ask."""

import contextlib
import threading

import psutil

from fedehr_client.node.folder import NodeFolder
from fedehr_client.supervision.availability import Availability, Busy
from fedehr_client.supervision.kept_worker import KeptWorker
from fedehr_client.supervision.metrics import NodeNumbers, metrics_text
from fedehr_client.supervision.node_link import LinkState, NodeLink
from fedehr_client.supervision.spent import SpentEpsilon
from fedehr_client.supervision.work_report import read_work
from fedehr_shared.errors import FedehrError

READY_SECONDS = 30.0
"""A worker that has not asked for work for so long is not ready."""
LOOK_SECONDS = 1.0


class Health:
    """Read from several threads; the slow questions are asked in one of its own.

    Attributes:
        busy: why the node does not work, and what kind of reason that is; None: it works.
    """

    def __init__(self, node: NodeFolder, link: NodeLink, worker: KeptWorker) -> None:
        """Looks once.

        Raises:
            ConfigError: the site file is missing or wrong.
        """
        self._node, self._link, self._worker = node, link, worker
        self._spent = SpentEpsilon(node, node.config().site.work)
        self._availability = Availability(node)
        self.busy: tuple[Busy, str] | None = self._availability.busy()
        self._ending = threading.Event()
        threading.Thread(target=self._look, name="availability", daemon=True).start()

    @property
    def state(self) -> tuple[str, str]:
        """The node's state and the reason for it."""
        if self._link.state is not LinkState.JOINED:
            problem = self._link.problem
            return self._link.state, "" if problem is None else problem.message
        return ("joined", "") if self.busy is None else self.busy

    def why_unready(self) -> str | None:
        """Why no round would be answered now; None: one would be.

        Outside the allowed hours a node is ready: it is as it should be.
        """
        if self._link.state is not LinkState.JOINED:
            return f"{self._link.state}: not connected to the coordinator"
        if self.busy is not None and self.busy[0] is Busy.PAUSED:
            return "paused"
        if not self._worker.is_polling(READY_SECONDS):
            return "the worker does not ask for work"
        return None

    def metrics(self) -> str:
        """The page at `/metrics`."""
        work = read_work(self._node.state)
        last = work["last_round"] or {}
        return metrics_text(
            NodeNumbers(
                is_joined=self._link.state is LinkState.JOINED,
                is_ready=self.why_unready() is None,
                is_paused=self.busy is not None and self.busy[0] is Busy.PAUSED,
                num_rounds=work["num_rounds"],
                sent_bytes=work["num_bytes"],
                num_errors=work["errors"],
                num_restarts={
                    "supernode": self._link.num_restarts,
                    "worker": self._worker.num_restarts,
                },
                child_bytes=_resident_bytes_below(self._worker.pid),
                last_round_seconds=last.get("seconds"),
                last_round_time=last.get("time"),
                spent_epsilon=self._spent.value(),
            )
        )

    def stop(self) -> None:
        """Look no more."""
        self._ending.set()

    def _look(self) -> None:
        while not self._ending.wait(LOOK_SECONDS):
            # What goes wrong while looking must not end the looking.
            with contextlib.suppress(OSError, FedehrError, psutil.Error):
                self.busy = self._availability.busy()


def _resident_bytes_below(pid: int | None) -> int:
    if pid is None:
        return 0
    total = 0
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                total += child.memory_info().rss
    return total
