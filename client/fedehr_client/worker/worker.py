"""`Worker`: takes one task after another, has it answered, hands the answer back."""

import logging
import time

from fedehr_client.engine.errors import TaskLostError
from fedehr_client.engine.runtime_tasks import RuntimeTasks
from fedehr_client.engine.task import Task
from fedehr_client.supervision.work_report import WorkReport
from fedehr_client.worker.answer import Answer
from fedehr_client.worker.desk import Desk
from fedehr_client.worker.ending import Ending
from fedehr_shared.errors import FedehrError

log = logging.getLogger("fedehr.client")

POLL_SECONDS = 0.1
AWAY_SECONDS = 1.0
"""Between two questions while the SuperNode does not answer."""


class Worker:
    """The loop; it ends when `ending` says so."""

    def __init__(self, tasks: RuntimeTasks, desk: Desk, report: WorkReport, ending: Ending) -> None:
        self._tasks = tasks
        self._desk = desk
        self._report = report
        self._ending = ending
        self._was_reachable = True

    def run(self) -> None:
        """Work until told to end.

        Raises:
            SecretRefusedError: the SuperNode has another secret.
            HalfSentError: the SuperNode must be started again.
        """
        while not self._ending.is_near:
            task = self._tasks.next()
            self._note_reachable()
            if task is None:
                self._desk.rest()
                if self._tasks.is_reachable:
                    self._report.polled()
                self._ending.wait(POLL_SECONDS if self._tasks.is_reachable else AWAY_SECONDS)
                continue
            try:
                self._handle(task)
            except TaskLostError as error:
                log.warning("a task was given up: %s", error)
                self._tasks.drop(task)
                self._report.finished(0)

    def _handle(self, task: Task) -> None:
        begin = time.monotonic()
        self._report.began("")
        answer = self._desk.answer(task, self._report.began)
        if not self._tasks.reply(task, answer.payload):
            self._report.finished(0)
            return
        self._note_sent(answer)
        seconds = time.monotonic() - begin
        self._tell(answer, seconds)
        log.info("%s in %.2f s, %d bytes", answer.said, seconds, answer.payload.num_bytes)

    def _note_sent(self, answer: Answer) -> None:
        try:
            answer.on_sent()
        except FedehrError as error:
            # It has left: a full disk must not end the worker now.
            log.error("what was sent could not be noted: %s", error)  # noqa: TRY400

    def _tell(self, answer: Answer, seconds: float) -> None:
        num_bytes, work_id = answer.payload.num_bytes, answer.work_id
        if answer.error_code:
            self._report.failed(answer.error_code, num_bytes)
        elif work_id is not None:
            phase, number = work_id.phase, work_id.round
            self._report.answered(answer.study, phase, number, seconds, num_bytes)
        else:
            self._report.finished(num_bytes)

    def _note_reachable(self) -> None:
        if self._tasks.is_reachable != self._was_reachable:
            self._was_reachable = self._tasks.is_reachable
            log.warning(
                "the SuperNode answers again"
                if self._was_reachable
                else "the SuperNode does not answer; trying again until it does"
            )
