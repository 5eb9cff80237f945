"""Tasks come and answers go over the engine's own API, and no task leaves anything stuck."""

import hashlib
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from flwr.app import Message

from fedehr_client.engine.errors import HalfSentError, RuntimeAwayError, SecretRefusedError
from fedehr_client.engine.runtime_client import TaskClient
from fedehr_client.engine.runtime_tasks import RuntimeTasks
from fedehr_client.engine.task import Task
from fedehr_client.records import from_records, to_records
from fedehr_shared.errors import FedehrError, NotApprovedError
from fedehr_shared.ports import free_port
from fedehr_shared.wire.payload import Payload

ANSWER = Payload({"update": bytes(range(256)) * 50_000}, {"report": {"site": "north", "n": 3}})


@pytest.fixture
def tasks(node: Any, secret: bytes) -> Any:
    made = RuntimeTasks(node.port, secret)
    yield made
    made.close()


def next_task(tasks: RuntimeTasks, seconds: float = 10.0) -> Task:
    deadline = time.monotonic() + seconds
    while (task := tasks.next()) is None:
        assert time.monotonic() < deadline, "no task came"
        time.sleep(0.01)
    return task


def payload_of(answer: Message) -> Payload:
    return from_records(answer.content)


def test_a_request_comes_whole_and_its_answer_goes_whole(node: Any, tasks: RuntimeTasks) -> None:
    request = Payload(
        {"model": bytes(6_000_000) + bytes(range(256)) * 30_000, "base": b""},
        {"work": {"work_id": "a/b", "numbers": [1, 2], "on": True, "lr": 0.5}},
    )
    answered = node.ask(to_records(request), run_id=2**63 + 5)
    task = next_task(tasks)
    assert task.run_id == 2**63 + 5
    assert task.bundle_sha256 == hashlib.sha256(node.content).hexdigest()
    assert task.request() == request
    assert tasks.reply(task, ANSWER)
    answer = answered.result(10)
    assert payload_of(answer) == ANSWER
    assert answer.metadata.src_node_id == 7
    assert tasks.next() is None


def test_nothing_stays_in_the_node_after_the_answer(node: Any, tasks: RuntimeTasks) -> None:
    answered = node.ask(to_records(ANSWER))
    task = next_task(tasks)
    task.request()
    assert tasks.reply(task, ANSWER)
    answered.result(10)
    assert len(node.store) == 0
    assert not node.state.msg_store


@pytest.mark.parametrize("kind", ["train", "evaluate", "query.other"])
def test_another_type_of_message_is_refused_with_an_answer(
    node: Any, tasks: RuntimeTasks, kind: str
) -> None:
    from fedehr_shared.errors import WireError

    answered = node.ask(to_records(ANSWER), message_type=kind)
    task = next_task(tasks)
    with pytest.raises(WireError):
        task.request()
    assert tasks.reply(task, Payload(values={"error": {"code": "wire"}}))
    assert payload_of(answered.result(10)).values["error"] == {"code": "wire"}


def test_a_task_of_another_kind_does_not_block_the_node(
    node: Any, tasks: RuntimeTasks, records: Callable[..., Any]
) -> None:
    node.primary_task_type = "flwr-agentapp"
    answered = node.ask(records(work={"a": 1}))
    task = next_task(tasks)
    assert task.request().values == {"work": {"a": 1}}
    assert tasks.reply(task, ANSWER)
    assert payload_of(answered.result(10)) == ANSWER


def test_a_request_still_on_its_way_is_waited_for(
    node: Any, runtime_node: Any, tasks: RuntimeTasks, records: Callable[..., Any]
) -> None:
    gate = threading.Event()
    line = runtime_node.line_of(records(work={"a": 1}))

    def pull(_run: int, name: str) -> bytes:
        assert gate.wait(20)
        return bytes(line.contents[name])

    answered = node.ask(line=line, pull=pull)
    task = next_task(tasks)
    threading.Timer(0.3, gate.set).start()
    assert task.request().values == {"work": {"a": 1}}
    tasks.reply(task, ANSWER)
    answered.result(10)


def refuse_all(_values: Payload) -> int:
    raise NotApprovedError("nobody has decided")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("query", {"room": refuse_all}),
        ("query", {"max_bytes": 200}),
        ("query", {"room": lambda _values: 0}),
        ("train", {}),
    ],
    ids=["what its values say", "its size", "its tensors' size", "its type"],
)
def test_whatever_it_is_refused_for_is_answered_though_its_parts_are_on_their_way(
    node: Any, runtime_node: Any, tasks: RuntimeTasks, *, kind: str, told: dict[str, Any]
) -> None:
    request = Payload({"model": bytes(range(256)) * 100_000}, {"work": {"a": 1}})
    line = runtime_node.line_of(to_records(request), kind)

    def pull(_run: int, name: str) -> bytes:
        content = bytes(line.contents[name])
        time.sleep(0.3 if content.startswith(b"ArrayChunk") else 0.0)
        return content

    answered = node.ask(line=line, pull=pull)
    task = next_task(tasks)
    with pytest.raises(FedehrError):
        task.request(**told)
    assert tasks.reply(task, ANSWER)
    assert payload_of(answered.result(10)) == ANSWER
    assert len(node.store) == 0


def test_a_part_that_is_named_and_never_used_is_waited_for(
    node: Any, runtime_node: Any, tasks: RuntimeTasks
) -> None:
    """It is read whole without it, and answered while the SuperNode still takes it in."""
    line = runtime_node.line_of(to_records(Payload(values={"work": {"a": 1}})))
    content = b"ArrayChunk  5\0extra"
    name = hashlib.sha256(content).hexdigest()
    line.tree.children[0].children.add(object_id=name)

    def pull(_run: int, wanted: str) -> bytes:
        time.sleep(0.3 if wanted == name else 0.0)
        return content if wanted == name else bytes(line.contents[wanted])

    answered = node.ask(line=line, pull=pull)
    task = next_task(tasks)
    assert task.request().values == {"work": {"a": 1}}
    assert tasks.reply(task, ANSWER)
    assert payload_of(answered.result(10)) == ANSWER


def test_a_wrong_secret_is_said(node: Any) -> None:
    with (
        closing(RuntimeTasks(node.port, b"another")) as tasks,
        pytest.raises(SecretRefusedError, match="secret"),
    ):
        tasks.next()


def test_a_node_that_is_away_is_no_error() -> None:
    with closing(RuntimeTasks(free_port(), b"secret")) as tasks:
        assert tasks.next() is None
        assert not tasks.is_reachable


def test_a_task_that_was_taken_back_is_given_up_quietly(
    node: Any, tasks: RuntimeTasks, records: Callable[..., Any]
) -> None:
    answered = node.ask(records(work={"a": 1}))
    task = next_task(tasks)
    task.request()
    _expire(node)
    assert not task.heartbeat.is_lost
    assert not task.client.beat()
    assert not tasks.reply(task, ANSWER)
    # The engine answers in our place, and a next request is served.
    assert answered.result(10).has_error()
    answered = node.ask(records(work={"a": 2}))
    task = next_task(tasks)
    assert task.request().values == {"work": {"a": 2}}
    assert tasks.reply(task, ANSWER)
    answered.result(10)


def test_the_heartbeat_notices_and_raises_nothing(
    node: Any, tasks: RuntimeTasks, records: Callable[..., Any]
) -> None:
    from fedehr_client.engine.heartbeat import Heartbeat

    node.ask(records(work={"a": 1}))
    task = next_task(tasks)
    heartbeat = Heartbeat(task.client.beat, beat_seconds=0.02)
    heartbeat.start()
    time.sleep(0.1)
    assert not heartbeat.is_lost
    _expire(node)
    deadline = time.monotonic() + 5
    while not heartbeat.is_lost:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    tasks.drop(task)


def test_a_beat_after_the_answer_harms_nobody(
    node: Any, tasks: RuntimeTasks, records: Callable[..., Any]
) -> None:
    answered = node.ask(records(work={"a": 1}))
    task = next_task(tasks)
    task.request()
    tasks.reply(task, ANSWER)
    answered.result(10)
    with pytest.raises(RuntimeAwayError):
        task.client.beat()


def test_a_worker_killed_with_a_fetched_request_leaves_nothing_stuck(
    node: Any, tasks: RuntimeTasks, records: Callable[..., Any]
) -> None:
    answered = node.ask(records(work={"a": 1}))
    deadline = time.monotonic() + 5
    while not (found := tasks._source.acquire()).token:
        assert time.monotonic() < deadline
    # As a worker that dies between fetching and starting leaves it.
    client = TaskClient(node.port, found.token)
    while not client.pull_message().messages_list:
        assert time.monotonic() < deadline
    _expire(node)
    client.close()
    assert tasks.next() is None
    _expire(node)
    assert answered.result(10).has_error()


def test_an_answer_cut_in_the_middle_is_said(
    node: Any,
    tasks: RuntimeTasks,
    records: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node.ask(records(work={"a": 1}))
    task = next_task(tasks)
    task.request()
    push, num = task.client.push_object, []

    def cut(request: Any) -> bool:
        num.append(request)
        if len(num) == 3:
            _expire(node)
        return push(request)

    monkeypatch.setattr(task.client, "push_object", cut)
    with pytest.raises(HalfSentError, match="2 of"):
        tasks.reply(task, ANSWER)


def _expire(node: Any) -> None:
    """Time passes for every task that was taken."""
    from datetime import timedelta

    for record in node.state.task_token_store.values():
        record.active_until -= timedelta(seconds=120)
