"""Nodes that are away: waited for once, and again once they have answered."""

from typing import Any

from fedehr_server.rounds.absences import RETURN_SECONDS, Absences


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_node_is_waited_for_as_long_as_it_may_come_back() -> None:
    clock = Clock()
    absences = Absences(clock)
    assert not absences.is_away(7)
    while clock.now < RETURN_SECONDS:
        assert absences.may_return(7)
        assert absences.is_away(7)
        clock.now += 7.0
    assert not absences.may_return(7)


def test_one_that_stayed_away_is_not_waited_for_until_it_answers() -> None:
    clock = Clock()
    absences = Absences(clock)
    assert absences.may_return(7)
    clock.now = RETURN_SECONDS + 1
    for _ in range(3):
        assert not absences.may_return(7)
        clock.now += 1_000.0
    assert absences.may_return(8), "another node has its own time"
    absences.answered(7)
    assert absences.may_return(7)


def test_the_engines_word_of_an_absence_is_told_apart_from_an_answer_that_cannot_be_read(
    monkeypatch: Any,
) -> None:
    from flwr.app import Error, Message, MetricRecord, RecordDict
    from flwr.supercore.task_identity import TaskIdentity

    from fedehr_server.grid import _read
    from fedehr_server.transport import Absence

    for name in ("_run_id", "_task_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    asked = Message(RecordDict(), dst_node_id=1, message_type="query")
    asked.metadata.__dict__["_message_id"] = "m"
    assert _read(Message(Error(5, "Node Unavailable"), reply_to=asked)) is Absence.AWAY
    odd = RecordDict({"report": MetricRecord({"loss": 1.0})})
    assert _read(Message(odd, reply_to=asked)) is None
