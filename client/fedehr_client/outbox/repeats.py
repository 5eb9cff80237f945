"""`Repeats`: which of the lines that say the same are written, and which are counted.

A coordinator may ask again every few seconds, for years; one that means harm, as often as it can.
Error replies and notices hold nothing of the site, so that those of one kind need no line each:
the first has one at once, and further ones are counted into one line after a minute, then after
two, four, up to one an hour. What is not in a line yet is known to this process alone.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from fedehr_client.outbox.sendings import Sending

FIRST_SECONDS = 60.0
MOST_SECONDS = 3_600.0
_MOST_KINDS = 1_000


@dataclass
class _Told:
    """Of one kind: when its next line is due, and what has left since the last."""

    due: float
    seconds: float
    counted: Sending | None = None


class Repeats:
    """Of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing has left yet.

        Args:
            clock: seconds since any moment.
        """
        self._clock = clock
        self._told: OrderedDict[Sending, _Told] = OrderedDict()

    @property
    def num_bytes(self) -> int:
        """Of all that is in no line yet."""
        return sum(told.counted.num_bytes for told in self._told.values() if told.counted)

    def counts(self, sending: Sending) -> bool:
        """Whether it was counted; else it needs a line now, and `wrote` is to be told of it."""
        told = self._told.get(_kind(sending))
        if told is None or (told.counted is None and self._clock() >= told.due):
            return False
        told.counted = _added(told.counted, sending)
        return True

    def wrote(self, sending: Sending) -> None:
        """Its line is written: what repeats it is counted from now on."""
        now, kind = self._clock(), _kind(sending)
        told = self._told.get(kind)
        is_frequent = told is not None and now < told.due + told.seconds
        seconds = told.seconds if told is not None and is_frequent else FIRST_SECONDS
        self._told[kind] = _Told(now + seconds, seconds)
        self._told.move_to_end(kind)

    def due(self, *, all_of_them: bool = False) -> list[Sending]:
        """Lines that are to be written now, each for all that it counts; they are let go of.

        Args:
            all_of_them: also those whose time has not come, as at the end of the process.
        """
        now, lines = self._clock(), []
        num_too_many = len(self._told) - _MOST_KINDS
        for number, told in enumerate(self._told.values()):
            is_due = all_of_them or now >= told.due or number < num_too_many
            if told.counted is not None and is_due:
                lines.append(told.counted)
                told.counted = None
                told.seconds = min(MOST_SECONDS, 2 * told.seconds)
                told.due = now + told.seconds
        for _ in range(num_too_many):
            self._told.popitem(last=False)
        return lines


def _kind(sending: Sending) -> Sending:
    """All that repetitions have in common."""
    return replace(sending, time="", num_bytes=0, reference="", inner="", num=1)


def _added(counted: Sending | None, sending: Sending) -> Sending:
    if counted is None:
        return sending
    return replace(
        sending, num=counted.num + sending.num, num_bytes=counted.num_bytes + sending.num_bytes
    )
