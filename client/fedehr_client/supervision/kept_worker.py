"""`KeptWorker`: the worker process, started again whenever it ends."""

import logging
import subprocess
import time

from fedehr_client.engine.supernode import supernode_environment
from fedehr_client.node.folder import NodeFolder
from fedehr_client.supervision.backoff import Backoff
from fedehr_client.supervision.log_files import log_file
from fedehr_client.supervision.work_report import read_work
from fedehr_client.worker.command import worker_command
from fedehr_shared.processes import ProcessFamily

STOP_SECONDS = 10.0
"""Of grace for the worker, which gives up its task and ends its children."""

log = logging.getLogger(__name__)


class KeptWorker:
    """At most one worker, for the SuperNode at one port.

    Attributes:
        num_restarts: starts after the first.
        started: of the present worker, seconds since 1970; None before the first.
    """

    def __init__(self, node: NodeFolder) -> None:
        """Nothing is started yet."""
        self._node = node
        self.family = ProcessFamily(node.state / "worker.json")
        self.num_restarts = 0
        self.started: float | None = None
        self._backoff = Backoff()
        self._process: subprocess.Popen[bytes] | None = None
        self._port: int | None = None
        self._until = 0.0

    @property
    def pid(self) -> int | None:
        """The worker's process, while it lives."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def advance(self, runtime_port: int) -> bool:
        """Start it where it is due.

        Returns:
            Whether it ended by itself after it had asked for work, so perhaps with a task in its
            hands: the SuperNode would wait for the answer for ever.
        """
        if self._process is not None and self.pid is None:
            return self._bury()
        if self._process is not None and self._port != runtime_port:
            self.family.stop(STOP_SECONDS)
            self._process = None
        if self._process is None and time.monotonic() >= self._until:
            self._start(runtime_port)
        return False

    def is_polling(self, within_seconds: float) -> bool:
        """Whether it has asked for work lately, or has some."""
        work = read_work(self._node.state)
        if self.pid is None or not self._has_asked():
            return False
        return work["task"] is not None or time.time() - work["polled"] <= within_seconds

    def stop(self) -> int:
        """End it with all its processes; returns how many there were."""
        return self.family.stop(STOP_SECONDS)

    def _start(self, runtime_port: int) -> None:
        self.family.stop(STOP_SECONDS)
        if self.started is not None:
            self.num_restarts += 1
        self._backoff.started()
        self.started = time.time()
        self._port = runtime_port
        self._process = self.family.start(
            worker_command(self._node.path, runtime_port),
            supernode_environment(self._node),
            log_file(self._node, "worker"),
            {"runtime_port": runtime_port},
        )

    def _bury(self) -> bool:
        assert self._process is not None
        status = self._process.poll()
        self._process = None
        # Its children do not outlive it for long, but the next worker must not meet them.
        self.family.stop(STOP_SECONDS)
        seconds = self._backoff.failed()
        self._until = time.monotonic() + seconds
        log.warning(
            "the worker ended by itself (status %s); starting it again in %.0f s", status, seconds
        )
        return self._has_asked()

    def _has_asked(self) -> bool:
        """Whether the present or last worker ever asked for work."""
        polled = read_work(self._node.state)["polled"]
        return self.started is not None and polled is not None and polled >= self.started
