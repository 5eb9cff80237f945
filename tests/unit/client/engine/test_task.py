"""A refused request's parts pass by one at a time, and none of them is kept."""

import resource
from typing import Any

import pytest
from flwr.app import RecordDict
from flwr.proto.message_pb2 import Message, Metadata, PullObjectResponse
from flwr.proto.runtime_pb2 import PullAppMessagesResponse, PullTaskInputResponse

from fedehr_client.engine.task import Task
from fedehr_shared.errors import WireError

PART_BYTES, NUM_PARTS = 8 * 2**20, 32
MOST_GROWTH_BYTES = 100 * 2**20


class LargeParts:
    """In the place of the SuperNode's API: every part is new and large."""

    def __init__(self) -> None:
        self.pulled: list[str] = []
        self.confirmed: list[str] = []

    def beat(self) -> bool:
        return True

    def pull_object(self, _node: int, _run: int, object_id: str) -> PullObjectResponse:
        self.pulled.append(object_id)
        return PullObjectResponse(
            object_found=True, object_available=True, object_content=bytes(PART_BYTES)
        )

    def confirm(self, _node: int, _run: int, object_id: str) -> None:
        self.confirmed.append(object_id)


def _message(runtime_node: Any, kind: str) -> PullAppMessagesResponse:
    line = runtime_node.line_of(RecordDict(), kind)
    for number in range(NUM_PARTS):
        line.tree.children[0].children.add(object_id=f"{number:064x}")
    return PullAppMessagesResponse(
        messages_list=[Message(metadata=Metadata(message_type=kind))],
        message_object_trees=[line.tree],
    )


def test_what_is_not_read_passes_by_and_is_not_kept(runtime_node: Any) -> None:
    client: Any = LargeParts()
    task = Task(client, PullTaskInputResponse(), _message(runtime_node, "train"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WireError, match="type"):
        task.request()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < MOST_GROWTH_BYTES
    assert len(client.pulled) == len(set(client.pulled)) == NUM_PARTS + 2
    assert len(client.confirmed) == 1
