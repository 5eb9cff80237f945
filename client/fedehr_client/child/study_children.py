"""`StudyChildren`: one process a study, kept warm between rounds, and no more than may be."""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fedehr_client.child.config import LimitsConfig
from fedehr_client.child.study_child import PROGRAM, StudyChild, WhyStop
from fedehr_client.child.work_places import WorkPlaces
from fedehr_shared.errors import ComputeError
from fedehr_shared.wire.payload import Payload

log = logging.getLogger("fedehr.client")


class StudyChildren:
    """The processes that hold torch, records and models; the worker itself never does.

    One request at a time; `forget` and `close` may be called from other threads meanwhile, but
    not from a signal handler, whose reason `why_stop` tells.
    """

    def __init__(
        self,
        site_file: Path,
        work: Path,
        limits: LimitsConfig,
        log_file: Path,
        *,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        """Nothing is started yet.

        Args:
            site_file: where the processes find the records.
            work: the site's work folder, all that they may write; absolute.
            limits: what they may take of the machine.
            log_file: what they write, errors' reasons among it.
            program: what is started.
        """
        self._site_file = site_file
        self._places = WorkPlaces(work)
        self._places.clear_temporary()
        self._limits = limits
        self._log_file = log_file
        self._program = tuple(program)
        self._children: dict[str, StudyChild] = {}
        self._lock = threading.Lock()
        self._is_closed = False
        # A process ends with the thread that started it, which therefore must stay.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="children")

    def answer(self, study_digest: str, request: Payload, why_stop: WhyStop) -> Payload:
        """What a study's process answers; it is started where there is none.

        Args:
            study_digest: names the study, whose process has nothing of others.
            request: passed on as it is.
            why_stop: asked several times a second; a reason ends the work and the process.

        Raises:
            BusyError: `why_stop` gave a reason.
            ComputeError: the process ended, or took more memory than it may. The next request
                starts another.
        """
        child = self._running(study_digest)
        try:
            if child is None:
                child = self._start(study_digest)
                child.begin(why_stop)
            return child.ask(request, why_stop)
        except BaseException:
            self.forget(study_digest)
            raise

    def forget(self, study_digest: str) -> None:
        """End a study's process, if there is one."""
        with self._lock:
            child = self._children.pop(study_digest, None)
        if child is not None:
            child.end()

    def close(self) -> None:
        """End all of them; nothing is started any more."""
        with self._lock:
            self._is_closed = True
            children, self._children = list(self._children.values()), {}
        for child in children:
            child.kill()
        self._starter.shutdown(wait=False)

    @property
    def pids(self) -> dict[str, int]:
        """The processes that are alive, by study."""
        with self._lock:
            return {digest: child.pid for digest, child in self._children.items()}

    def _running(self, study_digest: str) -> StudyChild | None:
        """The study's process, which becomes the latest used."""
        with self._lock:
            child = self._children.pop(study_digest, None)
            if child is not None and child.is_running():
                self._children[study_digest] = child
                return child
        if child is not None:
            log.warning("the process of study %s ended between rounds", study_digest[:12])
            child.kill()
        return None

    def _start(self, study_digest: str) -> StudyChild:
        self._make_room()
        with self._lock:
            if self._is_closed:
                raise _closed()
            started = self._starter.submit(
                StudyChild,
                self._site_file,
                self._places,
                self._limits,
                self._log_file,
                self._program,
            )
        child = started.result()
        with self._lock:
            if not self._is_closed:
                self._children[study_digest] = child
                return child
        child.kill()
        raise _closed()

    def _make_room(self) -> None:
        """End the processes that were used longest ago."""
        with self._lock:
            digests = list(self._children)
        for digest in digests[: len(digests) - self._limits.num_warm_studies + 1]:
            self.forget(digest)


def _closed() -> ComputeError:
    return ComputeError("the node is stopping: no process was started.")
