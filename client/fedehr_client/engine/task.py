"""`Task`: one request that the SuperNode handed over, until it is answered or lost."""

import hashlib
import time
from collections.abc import Callable, Iterator

from flwr.proto.message_pb2 import Metadata, ObjectTree
from flwr.proto.runtime_pb2 import PullAppMessagesResponse, PullTaskInputResponse

from fedehr_client.engine.errors import TaskLostError
from fedehr_client.engine.heartbeat import Heartbeat
from fedehr_client.engine.incoming import MAX_REQUEST_BYTES, RequestReader, Room, any_room
from fedehr_client.engine.runtime_client import TaskClient
from fedehr_shared.errors import WireError
from fedehr_shared.wire.payload import Payload

MESSAGE_TYPE = "query"
"""The one kind of message that fedehr's coordinator sends."""
_ARRIVAL_POLL_SECONDS = 0.02


class Task:
    """A request whose content is still with the SuperNode.

    Attributes:
        run_id: the engine's number of the run.
        bundle_sha256: of the coordinator's bundle, in hex. Its bytes were in memory and are not
            kept: they are never unpacked, written or imported.
        message_type: what the coordinator calls the request.
        num_bytes: of the content, as far as it was read.
    """

    def __init__(
        self,
        client: TaskClient,
        found: PullTaskInputResponse,
        message: PullAppMessagesResponse,
        why_give_up: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.client = client
        self.heartbeat = Heartbeat(client.beat)
        self.metadata: Metadata = message.messages_list[0].metadata
        self._parts = message.message_object_trees[0]
        self._arrived: set[str] = set()
        self._why_give_up = why_give_up
        self.run_id: int = found.run.run_id
        self.bundle_sha256 = hashlib.sha256(found.fab.content).hexdigest()
        self.message_type: str = self.metadata.message_type
        self.num_bytes = 0

    @property
    def is_lost(self) -> bool:
        """Whether the SuperNode took it back: an answer would not be taken."""
        return self.heartbeat.is_lost

    def request(self, max_bytes: int = MAX_REQUEST_BYTES, room: Room = any_room) -> Payload:
        """Read the content, once; the SuperNode forgets it, whatever comes of it.

        Args:
            max_bytes: of all of it.
            room: from its values, how many bytes of tensors it may have.

        Raises:
            WireError: it is too large, or nothing that fedehr sends.
            FedehrError: what `room` raises.
            TaskLostError: the SuperNode took the task back.
        """
        reader = RequestReader(self._pull, max_bytes, room)
        try:
            if self.message_type != MESSAGE_TYPE:
                raise WireError(f"the request is no message of type {MESSAGE_TYPE}.")
            return reader.read(self._parts.object_id)
        finally:
            self.num_bytes = reader.num_bytes
            self._let_arrive()
            self.client.confirm(self.metadata.dst_node_id, self.run_id, self._parts.object_id)

    def _let_arrive(self) -> None:
        """Wait for every part that was not read, and keep none of it.

        A request that is given up while the SuperNode still takes in its parts would be lost to
        the coordinator, and no answer would reach it.
        """
        for object_id in _names(self._parts):
            if object_id not in self._arrived:
                self._pull(object_id)

    def _pull(self, object_id: str) -> bytes:
        """A part; while it is still on its way from the coordinator, it is waited for."""
        while True:
            found = self.client.pull_object(self.metadata.dst_node_id, self.run_id, object_id)
            if found.object_available:
                self._arrived.add(object_id)
                return bytes(found.object_content)
            if not found.object_found or self.is_lost or self._why_give_up():
                raise TaskLostError("the request did not arrive whole")
            time.sleep(_ARRIVAL_POLL_SECONDS)


def _names(tree: ObjectTree) -> Iterator[str]:
    yield tree.object_id
    for child in tree.children:
        yield from _names(child)
