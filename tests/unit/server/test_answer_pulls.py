"""An answer that does not come to its end holds up no other, and nobody who waits for it."""

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from fedehr_server.answer_pulls import AnswerPulls


class Engine:
    """Gives each answer once; one that is on its way blocks whoever asks, as the engine does."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.on_its_way: dict[str, threading.Event] = {}
        self.asked: list[str] = []
        self.num_asking = self.most_asking = 0
        self._lock = threading.Lock()

    def pull_messages(self, message_ids: Iterable[str]) -> list[Any]:
        (message_id,) = message_ids
        with self._lock:
            self.asked.append(message_id)
            self.num_asking += 1
            self.most_asking = max(self.most_asking, self.num_asking)
        try:
            if message_id in self.on_its_way:
                assert self.on_its_way[message_id].wait(30)
            with self._lock:
                found = self.answers.pop(message_id, None)
            if isinstance(found, Exception):
                raise found
            return [] if found is None else [found]
        finally:
            with self._lock:
                self.num_asking -= 1


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    for upload in engine.on_its_way.values():
        upload.set()


@pytest.fixture
def pulls(engine: Engine) -> AnswerPulls:
    return AnswerPulls(engine)  # type: ignore[arg-type]


def _taken(pulls: AnswerPulls, num_answers: int) -> list[Any]:
    deadline, found = time.monotonic() + 20, []
    while len(found) < num_answers:
        assert time.monotonic() < deadline
        found += pulls.take()
        time.sleep(0.01)
    return found


def test_a_dead_upload_holds_up_no_other_answer(engine: Engine, pulls: AnswerPulls) -> None:
    engine.on_its_way["a"] = threading.Event()
    for node, message_id in enumerate("abc"):
        pulls.expect(node, message_id)
    while "a" not in engine.asked:
        time.sleep(0.01)
    began = time.monotonic()
    assert pulls.take() == []
    assert time.monotonic() - began < 1
    engine.answers |= {"b": "of b", "c": "of c"}
    assert sorted(_taken(pulls, 2)) == [(1, "of b"), (2, "of c")]
    engine.answers["a"] = "of a"
    engine.on_its_way["a"].set()
    assert _taken(pulls, 1) == [(0, "of a")]


def test_what_is_asked_anew_does_not_wait_for_the_upload_before(
    engine: Engine, pulls: AnswerPulls
) -> None:
    engine.on_its_way["old"] = threading.Event()
    engine.answers |= {"old": "late", "new": "in time"}
    pulls.expect(7, "old")
    while "old" not in engine.asked:
        time.sleep(0.01)
    pulls.expect(7, "new")
    assert _taken(pulls, 1) == [(7, "in time")]
    engine.on_its_way["old"].set()
    time.sleep(0.3)
    assert pulls.take() == [], "an answer that nobody waits for is no answer"


def test_each_answer_is_asked_for_once_at_a_time_and_no_more_after_it_came(
    engine: Engine, pulls: AnswerPulls
) -> None:
    """Asked twice at once the engine would give the second an error in place of the answer."""
    engine.on_its_way["a"] = threading.Event()
    engine.answers["a"] = "of a"
    pulls.expect(1, "a")
    time.sleep(0.5)
    assert engine.asked == ["a"]
    engine.on_its_way["a"].set()
    assert _taken(pulls, 1) == [(1, "of a")]
    time.sleep(0.3)
    assert engine.asked == ["a"]


def test_what_the_engine_raises_is_heard_once(engine: Engine, pulls: AnswerPulls) -> None:
    engine.answers |= {"a": ConnectionError("gone"), "b": "of b"}
    pulls.expect(1, "a")
    with pytest.raises(ConnectionError, match="gone"):
        _taken(pulls, 1)
    pulls.expect(2, "b")
    assert _taken(pulls, 1) == [(2, "of b")]


def test_nothing_is_asked_for_what_is_forgotten(engine: Engine, pulls: AnswerPulls) -> None:
    pulls.expect(1, "a")
    pulls.forget(1)
    time.sleep(0.3)
    num_asked = len(engine.asked)
    engine.answers["a"] = "of a"
    time.sleep(0.5)
    assert pulls.take() == []
    assert len(engine.asked) == num_asked <= 1


def test_many_nodes_ask_no_more_often_than_a_few(engine: Engine, pulls: AnswerPulls) -> None:
    """And no more answers than some are held at once, however many have come."""
    names = [f"m{number}" for number in range(200)]
    for node, name in enumerate(names):
        pulls.expect(node, name)
    engine.asked.clear()
    time.sleep(3)
    assert len(engine.asked) < 2 * 30 * 3
    engine.answers |= {name: name for name in names}
    time.sleep(1)
    waiting = pulls.take()
    assert 0 < len(waiting) <= 20, "some are held, the others wait at the engine"
    found = waiting + _taken(pulls, len(names) - len(waiting))
    assert sorted(found) == sorted(enumerate(names))
    assert engine.most_asking <= 16
