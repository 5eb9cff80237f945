"""However often the same is asked: what leaves is counted whole, in a bounded number of lines."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fedehr_client.outbox.outbox import MOST_SENDINGS, Outbox
from fedehr_client.outbox.repeats import Repeats
from fedehr_client.outbox.sendings import Sending
from fedehr_client.outbox.shelf import Shelf
from fedehr_shared.errors import ContractError
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import ErrorReport

ERROR = Sending("2026-11-23T00:00:00.000+00:00", "error", 70, code="busy", reference="a" * 16)
DAY_SECONDS = 86_400


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _told(repeats: Repeats, sending: Sending) -> list[Sending]:
    """The lines that one more sending brings."""
    lines = [] if repeats.counts(sending) else [sending]
    for line in lines:
        repeats.wrote(line)
    return lines + repeats.due()


def test_a_day_of_the_same_every_two_seconds_is_a_few_lines_that_count_all() -> None:
    clock = Clock()
    repeats, lines = Repeats(clock), []
    for number in range(DAY_SECONDS // 2):
        clock.now = 2.0 * number
        lines += _told(repeats, replace(ERROR, reference=f"{number:016x}"))
    assert lines[0].num == 1, "the first has its line at once"
    assert len(lines) <= 24 + 8
    assert repeats.num_bytes > 0
    lines += repeats.due(all_of_them=True)
    assert sum(line.num for line in lines) == DAY_SECONDS // 2
    assert sum(line.num_bytes for line in lines) == DAY_SECONDS // 2 * ERROR.num_bytes
    assert repeats.num_bytes == 0
    assert repeats.due(all_of_them=True) == []


def test_what_comes_now_and_then_has_a_line_each_time() -> None:
    clock = Clock()
    repeats, lines = Repeats(clock), []
    for _ in range(20):
        lines += _told(repeats, ERROR)
        clock.now += DAY_SECONDS
    assert [line.num for line in lines] == [1] * 20


def test_kinds_are_told_apart_and_more_of_them_than_are_known_lose_nothing() -> None:
    repeats, lines, num = Repeats(Clock()), [], 2_500
    for again in range(3):
        for number in range(num):
            lines += _told(repeats, replace(ERROR, work=f"pretraining/{number}/1", num_bytes=again))
    lines += repeats.due(all_of_them=True)
    assert sum(line.num for line in lines) == 3 * num
    assert sum(line.num_bytes for line in lines) == (0 + 1 + 2) * num
    assert {line.work for line in lines} == {f"pretraining/{number}/1" for number in range(num)}


def test_a_flood_of_refusals_fills_no_disk_and_is_on_the_account(
    small_node: Any, small_answer: Any
) -> None:
    node, one, begin = small_node(), small_answer(1), datetime.now(UTC) - timedelta(seconds=1)
    outbox, num, num_bytes = Outbox(node), 2_000, 0
    for number in range(num):
        failure = ErrorReport("contract", f"{number:016x}").to_payload()
        notice = Payload(values={"end": {"site": node.config().site.name}})
        outbox.seal_error(failure, None)
        outbox.seal_state(notice)
        num_bytes += failure.num_bytes + notice.num_bytes
    assert outbox.bytes_since(begin) == num_bytes
    assert len(list(Shelf(node).sendings.all())) == 2
    # What carries data has a line of its own at once, whatever was counted before.
    outbox.seal(one.admitted, one.answer)
    assert [line.kind for line in Shelf(node).sendings.all()] == ["error", "notice", "answer"]
    outbox.close()
    lines = list(Shelf(node).sendings.all())
    assert [(line.kind, line.num) for line in lines] == [
        ("error", 1), ("notice", 1), ("answer", 1), ("error", num - 1), ("notice", num - 1),
    ]  # fmt: skip
    assert Outbox(node).bytes_since(begin) == num_bytes + one.answer.num_bytes


def test_an_answer_leaves_so_often_and_no_more(small_node: Any, small_answer: Any) -> None:
    node, one = small_node(), small_answer(1)
    Outbox(node).seal(one.admitted, one.answer)
    outbox = Outbox(node)
    for _ in range(MOST_SENDINGS - 1):
        assert outbox.kept(one.admitted) == one.answer
    for again in (outbox, Outbox(node)):  # a restart makes no difference
        with pytest.raises(ContractError, match=f"has left {MOST_SENDINGS} times"):
            again.kept(one.admitted)
    assert len(list(Shelf(node).sendings.all())) == MOST_SENDINGS
