"""`TaskSource`, `TaskClient`: calls of the SuperNode's own API whose errors end only the call.

The engine's own way of retrying interrupts the whole process when a call is refused, so ours
is used.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import httpx
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    AcquireTaskResponse,
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PullTaskInputRequest,
    PullTaskInputResponse,
    PushAppMessagesRequest,
    PushAppMessagesResponse,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, SuperExecAuthHttpInterceptor
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.runtime import RuntimeHttpClient

from fedehr_client.engine.errors import RuntimeAwayError, SecretRefusedError, TaskLostError
from fedehr_shared.ports import LOOPBACK

ACQUIRE = "/flwr.proto.Runtime/AcquireTask"
NUM_TRIES = 3
RETRY_SECONDS = 0.5

_Answer = TypeVar("_Answer")


class TaskSource:
    """What may be asked without a task: whether there is one."""

    def __init__(self, port: int, secret: bytes) -> None:
        self._client = _client(
            port,
            [SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=[ACQUIRE])],
        )

    def acquire(self) -> AcquireTaskResponse:
        """Take the oldest task, of whatever type: what nobody takes would block the node.

        Raises:
            RuntimeAwayError: nothing answers.
            SecretRefusedError: the SuperNode has another secret.
        """
        request = AcquireTaskRequest(supported_task_types=[str(kind) for kind in TaskType])
        try:
            return self._client.AcquireTask(request)
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.UNAUTHORIZED:
                raise SecretRefusedError(
                    "the SuperNode refuses this worker's secret. Stop the node and start it again."
                ) from error
            raise RuntimeAwayError(f"the SuperNode answers {error.response.status_code}") from error
        except (httpx.TransportError, ValueError) as error:
            raise RuntimeAwayError("the SuperNode does not answer") from error

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


class TaskClient:
    """What may be asked in the name of one task; all raise `TaskLostError` once it is gone."""

    def __init__(self, port: int, token: str) -> None:
        self._client = _client(port, [RuntimeTokenHttpInterceptor(token)])

    def beat(self) -> bool:
        """Say that the task is worked on; whether it still is ours.

        Raises:
            RuntimeAwayError: nothing answers, which may pass.
        """
        try:
            return bool(self._client.SendTaskHeartbeat(SendTaskHeartbeatRequest()).success)
        except httpx.HTTPStatusError:
            return False
        except (httpx.TransportError, ValueError, RuntimeError) as error:
            # RuntimeError: the connection was closed while the beat began.
            raise RuntimeAwayError("the SuperNode does not answer") from error

    def pull_input(self) -> PullTaskInputResponse:
        """The run and the bundle; the task counts as running from now on."""
        return _once(lambda: self._client.PullTaskInput(PullTaskInputRequest()))

    def pull_message(self) -> PullAppMessagesResponse:
        """The request without its content; a second call gets none."""
        return _once(lambda: self._client.PullMessages(PullAppMessagesRequest()))

    def pull_object(self, node_id: int, run_id: int, object_id: str) -> PullObjectResponse:
        """A part of the request's content."""
        node = Node(node_id=node_id)
        request = PullObjectRequest(node=node, run_id=run_id, object_id=object_id)
        return _retried(lambda: self._client.PullObject(request))

    def confirm(self, node_id: int, run_id: int, object_id: str) -> None:
        """Let the SuperNode forget the request's content."""
        node = Node(node_id=node_id)
        request = ConfirmMessageReceivedRequest(
            node=node, run_id=run_id, message_object_id=object_id
        )
        _retried(lambda: self._client.ConfirmMessageReceived(request))

    def push_message(self, request: PushAppMessagesRequest) -> PushAppMessagesResponse:
        """Announce an answer."""
        return _retried(lambda: self._client.PushMessages(request))

    def push_object(self, request: PushObjectRequest) -> bool:
        """Hand over a part of the answer; whether it was wanted."""
        return bool(_retried(lambda: self._client.PushObject(request)).stored)

    def push_output(self, sub_status: str) -> None:
        """Say that the task is done."""
        request = PushTaskOutputRequest(sub_status=sub_status, details="")
        _retried(lambda: self._client.PushTaskOutput(request))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _client(port: int, interceptors: Sequence[ProtobufClientInterceptor]) -> RuntimeHttpClient:
    return RuntimeHttpClient.from_server_address(
        f"{LOOPBACK}:{port}", insecure=True, root_certificates=None, interceptors=interceptors
    )


def _once(call: Callable[[], _Answer]) -> _Answer:
    try:
        return call()
    except (httpx.HTTPError, ValueError) as error:
        raise TaskLostError(f"the SuperNode took the task back ({_name(error)})") from error


def _retried(call: Callable[[], _Answer]) -> _Answer:
    """Of what may be said twice: a busy machine may let a call time out."""
    for tries_left in reversed(range(NUM_TRIES)):
        try:
            return _once(call)
        except TaskLostError as error:
            if not tries_left or not isinstance(error.__cause__, httpx.TransportError):
                raise
            time.sleep(RETRY_SECONDS)
    raise AssertionError("the last try returns or raises")


def _name(error: Exception) -> str:
    """Without the error's text, which may quote what was sent."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"status {error.response.status_code}"
    return type(error).__name__
