"""A SuperNode without a coordinator: the engine's own state, API, receiving and sending.

Loaded by tests/conftest.py.
"""

import hashlib
import io
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from flwr.app import Message, RecordDict
from flwr.app.message import make_message
from flwr.app.metadata import Metadata
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeStateFactory
from flwr.supernode.start_client_internal import _pull_and_store_message, _push_messages

NODE_ID = 7
SECRET = b"a secret of this test"


def bundle(**files: str) -> bytes:
    """A coordinator's bundle: a `pyproject.toml`, and files by name."""
    settings = (
        '[project]\nname = "x"\nversion = "1.0.0"\n[tool.flwr.app]\npublisher = "x"\n'
        '[tool.flwr.app.components]\nserverapp = "x:app"\nclientapp = "x:app"\n'
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in {"pyproject.toml": settings, **files}.items():
            archive.writestr(name, text)
    return buffer.getvalue()


@dataclass
class FakeLine:
    """The objects of one message as the coordinator holds them."""

    contents: dict[str, bytes]
    tree: Any
    metadata: Metadata


@dataclass
class Node:
    """The SuperNode; `ask` is what a coordinator does."""

    port: int
    factory: NodeStateFactory
    content: bytes = field(default_factory=bundle)
    primary_task_type: str = ""

    @property
    def state(self) -> Any:
        return self.factory.state()

    @property
    def store(self) -> Any:
        return self.factory.objectstore_factory.store()

    def ask(
        self,
        content: RecordDict | None = None,
        *,
        message_type: str = "query",
        run_id: int = 11,
        line: FakeLine | None = None,
        pull: Callable[[int, str], bytes] | None = None,
    ) -> "Future[Message]":
        """Deliver a request and wait in the background for the whole answer."""
        sent = line or line_of(content, message_type, run_id)
        answered: Future[Message] = Future()

        def deliver() -> None:
            try:
                answered.set_result(self._deliver(sent, pull))
            except BaseException as error:
                answered.set_exception(error)

        # A daemon: the engine waits without end for an answer that never comes.
        threading.Thread(target=deliver, daemon=True).start()
        return answered

    def _deliver(self, line: FakeLine, pull: Callable[[int, str], bytes] | None) -> Message:
        fab = Fab(hashlib.sha256(self.content).hexdigest(), self.content, {})

        def get_run(run_id: int) -> Run:
            run = Run.create_empty(run_id)
            run.fab_hash, run.series_id = fab.hash_str, run_id
            run.primary_task_type = self.primary_task_type
            return run

        message = make_message(line.metadata, RecordDict())
        received = _pull_and_store_message(
            state=self.state,
            object_store=self.store,
            node_config={},
            receive=lambda: (message, line.tree),
            get_run=get_run,
            get_fab=lambda _hash, _run: fab,
            pull_object=pull or (lambda _run, name: line.contents[name]),
            confirm_message_received=lambda _run, _name: None,
            trusted_entities=None,
        )
        assert received is not None
        return self._answer()

    def _answer(self) -> Message:
        told: dict[str, Any] = {}
        contents: dict[str, bytes] = {}

        def send(message: Message, tree: Any, _seconds: float) -> tuple[set[str], str]:
            told["root"] = tree.object_id
            told["message"] = message
            return {each.object_id for each in iterate_object_tree(tree)}, "session"

        def keep(_run: int, _session: str, name: str, content: bytes) -> None:
            contents[name] = content

        _push_messages(self.state, self.store, send, keep)
        read = inflate_object_from_contents(told["root"], contents)
        assert isinstance(read, Message)
        return read


def line_of(content: RecordDict | None, message_type: str = "query", run_id: int = 11) -> FakeLine:
    """What the coordinator holds of a message with this content."""
    metadata = Metadata(
        run_id=run_id, message_id="", src_node_id=1, dst_node_id=NODE_ID, reply_to_message_id="",
        group_id="1", created_at=time.time(), ttl=3600.0, message_type=message_type,
    )  # fmt: skip
    message = make_message(metadata, content if content is not None else RecordDict())
    parts = get_all_nested_objects(message)
    metadata.__dict__["_message_id"] = message.object_id
    contents = {name: part.deflate() for name, part in parts.items()}
    return FakeLine(contents, get_object_tree(message), metadata)


@contextmanager
def running_node(port: int | None = None) -> Iterator[Node]:
    """A node at a free port, or at this one."""
    factory = NodeStateFactory(objectstore_factory=ObjectStoreFactory())
    factory.state().set_node_id(NODE_ID)
    port = port or free_port()
    app = create_app(state_factory=factory, superexec_auth_secret=SECRET)
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    try:
        yield Node(port, factory)
    finally:
        server.should_exit = True
        thread.join(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
