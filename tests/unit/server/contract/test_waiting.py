"""How long a site that cannot answer yet is left alone."""

from fedehr_server.rounds.events import Push, PushLater
from fedehr_server.rounds.waiting import FIRST_SECONDS, MOST_SECONDS, WaitingPushes
from fedehr_shared.wire.work import WorkId

WORK = WorkId("d", "vocabulary", 1, 2)


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def _waits(num_bytes: int, number: int) -> list[float]:
    """Seconds between a site's being asked, `number` times."""
    clock = _Clock()
    pushes = WaitingPushes(clock)
    found: list[float] = []
    for _ in range(number):
        began = clock.now
        pushes.hold(PushLater(1, WORK), num_bytes)
        while not (due := pushes.take_due()):
            clock.now += 0.25
        assert due == [Push(1, WORK, again=False)]
        found.append(clock.now - began)
    return found


def test_the_wait_grows_from_three_seconds_to_thirty() -> None:
    waits = _waits(1_000, 12)
    assert waits[0] == FIRST_SECONDS == 3.0
    assert waits == sorted(waits)
    assert set(waits[-3:]) == {MOST_SECONDS} == {30.0}


def test_a_large_request_is_sent_more_seldom() -> None:
    assert _waits(100_000_000, 2) == [100.0, 100.0]
    assert _waits(10**11, 1) == [300.0]


def test_sites_wait_apart_and_a_new_round_forgets_all() -> None:
    clock = _Clock()
    pushes = WaitingPushes(clock)
    pushes.hold(PushLater(1, WORK), 0)
    clock.now += 2
    pushes.hold(PushLater(2, WORK), 0)
    clock.now += 1
    assert [push.node for push in pushes.take_due()] == [1]
    pushes.hold(PushLater(1, WORK), 0)
    pushes.forget()
    clock.now += 1_000
    assert pushes.take_due() == []
    pushes.hold(PushLater(1, WORK), 0)
    clock.now += FIRST_SECONDS
    assert [push.node for push in pushes.take_due()] == [1]
