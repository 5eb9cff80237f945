"""`RuntimeTasks`: the worker's side of the SuperNode's own API.

A worker that is killed at any line of `next` leaves nothing stuck: the request is fetched
before the task counts as running, and a task whose request a killed worker had fetched is
marked as running and then left alone, whereupon the SuperNode answers for it.
"""

import logging
import time
from collections.abc import Callable

from flwr.common.constant import SubStatus
from flwr.proto.runtime_pb2 import PullAppMessagesResponse

from fedehr_client.engine.errors import RuntimeAwayError, TaskLostError
from fedehr_client.engine.outgoing import send_answer
from fedehr_client.engine.runtime_client import TaskClient, TaskSource
from fedehr_client.engine.task import Task
from fedehr_client.engine.version import require_engine
from fedehr_shared.wire.payload import Payload

log = logging.getLogger("fedehr.client")

_MESSAGE_SECONDS = 5.0
"""A task can be taken a moment before its request is stored."""
_MESSAGE_POLL_SECONDS = 0.02


class RuntimeTasks:
    """Takes tasks, one at a time, and hands answers back."""

    def __init__(
        self, port: int, secret: bytes, why_give_up: Callable[[], str | None] = lambda: None
    ) -> None:
        """Connect to nothing yet.

        Args:
            port: of the SuperNode's own API, on loopback.
            secret: what the worker proves itself with.
            why_give_up: says so when the worker is to end; ends every wait here.

        Raises:
            EngineVersionError: another engine is installed than this was written for.
        """
        require_engine()
        self._port = port
        self._source = TaskSource(port, secret)
        self._why_give_up = why_give_up
        self.is_reachable = True
        """Whether the SuperNode answered last."""

    def next(self) -> Task | None:
        """The oldest task, if there is one; quick, to be called again and again.

        Raises:
            SecretRefusedError: the SuperNode has another secret.
        """
        try:
            found = self._source.acquire()
        except RuntimeAwayError:
            self.is_reachable = False
            return None
        self.is_reachable = True
        if not (found.HasField("task") and found.token):
            return None
        client = TaskClient(self._port, found.token)
        try:
            return self._started(client)
        except TaskLostError as error:
            log.warning("a task was lost before it began: %s", error)
            client.close()
            return None

    def reply(self, task: Task, answer: Payload) -> bool:
        """Hand an answer over; whether the SuperNode took it.

        A task that was taken back is given up quietly: the coordinator asks again.

        Raises:
            HalfSentError: it was taken in part; the SuperNode must be started again.
        """
        try:
            send_answer(task.client, task.metadata, answer)
            task.client.push_output(SubStatus.COMPLETED)
        except TaskLostError as error:
            log.warning("an answer was not taken: %s", error)
            return False
        finally:
            self.drop(task)
        return True

    def drop(self, task: Task) -> None:
        """Work no more on a task: within a minute the SuperNode answers for it with an error."""
        task.heartbeat.stop()
        task.client.close()

    def close(self) -> None:
        """Close the connection."""
        self._source.close()

    def _started(self, client: TaskClient) -> Task:
        message = self._message(client)
        found = client.pull_input()
        if message is None:
            raise TaskLostError("its request was fetched by a worker that ended")
        task = Task(client, found, message, self._why_give_up)
        task.heartbeat.start()
        return task

    def _message(self, client: TaskClient) -> PullAppMessagesResponse | None:
        deadline = time.monotonic() + _MESSAGE_SECONDS
        while not (found := client.pull_message()).messages_list:
            if time.monotonic() > deadline or self._why_give_up():
                return None
            time.sleep(_MESSAGE_POLL_SECONDS)
        return found
