"""On the PYTHONPATH of a node: its wall clock is off by FEDEHR_LAB_CLOCK_SECONDS."""

import datetime
import os
import time

_SECONDS = float(os.environ.get("FEDEHR_LAB_CLOCK_SECONDS", "0"))
_SHIFT = datetime.timedelta(seconds=_SECONDS)
_true_time, _true_datetime = time.time, datetime.datetime


class _OfThisClass(type):
    """A true datetime is one of ours too: libraries written in C make true ones."""

    def __instancecheck__(cls, other: object) -> bool:
        return isinstance(other, _true_datetime)


class _Shifted(_true_datetime, metaclass=_OfThisClass):
    @classmethod
    def now(cls, tz=None):
        return _true_datetime.now(tz) + _SHIFT

    @classmethod
    def utcnow(cls):
        return _true_datetime.utcnow() + _SHIFT


if _SECONDS:
    time.time = lambda: _true_time() + _SECONDS
    datetime.datetime = _Shifted
