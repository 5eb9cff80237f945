"""`HostileTask`: a message at the worker's desk, as the SuperNode would have handed it over."""

from typing import Any

from flwr.app import Message
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    no_object_id_recompute,
)
from flwr.supercore.task_identity import TaskIdentity

from fedehr_client.engine.incoming import MAX_REQUEST_BYTES, RequestReader, Room, any_room
from fedehr_shared.errors import WireError
from fedehr_shared.wire.payload import Payload


class HostileTask:
    """Has what the desk sees of `fedehr_client.engine.task.Task`; the reader is the real one."""

    is_lost = False

    def __init__(self, records: Any, *, message_type: str, run_id: int, bundle_sha256: str) -> None:
        for name in ("_run_id", "_task_id", "_node_id"):
            setattr(TaskIdentity, name, 1)
        message = Message(records, dst_node_id=1, message_type=message_type)
        with no_object_id_recompute():
            objects = get_all_nested_objects(message)
            self._contents = {name: one.deflate() for name, one in objects.items()}
            self._message_id = message.object_id
        self.message_type = message_type
        self.run_id = run_id
        self.bundle_sha256 = bundle_sha256
        self.num_bytes = 0

    def spoil(self, place: int, content: bytes) -> None:
        """Another content under one of the parts' names."""
        name = sorted(self._contents)[place % len(self._contents)]
        self._contents[name] = content

    def request(self, max_bytes: int = MAX_REQUEST_BYTES, room: Room = any_room) -> Payload:
        """As the engine's task reads it."""
        reader = RequestReader(self._contents.__getitem__, max_bytes, room)
        try:
            if self.message_type != "query":
                raise WireError("the request is no message of type query.")
            return reader.read(self._message_id)
        finally:
            self.num_bytes = reader.num_bytes
