"""A SuperNode without a coordinator."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flwr.app import ConfigRecord, RecordDict


@pytest.fixture
def node(runtime_node: Any) -> Iterator[Any]:
    with runtime_node.running_node() as made:
        yield made


@pytest.fixture
def secret(runtime_node: Any) -> bytes:
    return bytes(runtime_node.SECRET)


@pytest.fixture
def records() -> Callable[..., RecordDict]:
    def make(**values: Any) -> RecordDict:
        return RecordDict({name: ConfigRecord(record) for name, record in values.items()})

    return make
