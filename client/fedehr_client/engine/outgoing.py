"""`send_answer`: hands an answer over to the SuperNode, part by part.

One part at a time is in memory beside the answer itself: the engine's own way lays all of them
out first.
"""

from collections.abc import Callable

from flwr.app import Message, RecordDict
from flwr.app.message import make_message, remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.common.serde_utils import metadata_from_proto
from flwr.proto.message_pb2 import Metadata as MetadataProto
from flwr.proto.message_pb2 import PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import PushAppMessagesRequest
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)

from fedehr_client.engine.errors import HalfSentError, TaskLostError
from fedehr_client.engine.runtime_client import TaskClient
from fedehr_client.records import to_records
from fedehr_shared.wire.payload import Payload


def send_answer(client: TaskClient, request: MetadataProto, answer: Payload) -> None:
    """Answer the request whose metadata are given.

    Raises:
        TaskLostError: the SuperNode took the task back before anything was handed over.
        HalfSentError: it has a part of the answer and will wait for the rest.
    """
    asked = make_message(metadata_from_proto(request), RecordDict())
    message = Message(to_records(answer), reply_to=asked)
    with no_object_id_recompute():
        message.metadata.__dict__["_message_id"] = message.object_id
        told = client.push_message(
            PushAppMessagesRequest(
                messages_list=[message_to_proto(remove_content_from_message(message))],
                message_object_trees=[get_object_tree(message)],
            )
        )
        wanted = set(told.objects_to_push)
        node = Node(node_id=message.metadata.src_node_id)
        run_id, session_id = message.metadata.run_id, told.session_id
        _push_parts(
            message,
            wanted,
            lambda object_id, content: client.push_object(
                PushObjectRequest(
                    node=node,
                    run_id=run_id,
                    object_id=object_id,
                    object_content=content,
                    session_id=session_id,
                )
            ),
        )


def _push_parts(message: Message, wanted: set[str], push: Callable[[str, bytes], bool]) -> None:
    num_pushed = 0
    for object_id, part in get_all_nested_objects(message).items():
        if object_id not in wanted:
            continue
        try:
            is_stored = push(object_id, part.deflate())
        except TaskLostError as error:
            raise HalfSentError(_HALF_SENT.format(num_pushed, len(wanted))) from error
        if not is_stored:
            raise HalfSentError(_HALF_SENT.format(num_pushed, len(wanted)))
        num_pushed += 1


_HALF_SENT = "{} of {} parts of an answer were handed over. The node starts its SuperNode again."
