"""Local times to UTC, in SQL: `local_to_utc(TIMESTAMP)` and `end_of_day(DATE)`.

The rule of PEP 495's `fold=0`: an hour that the clock passes twice is read as the first
one (daylight time), one that it skips moves forward by what was skipped.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType
from numpy.typing import NDArray

from fedehr_shared.errors import UsageError

_FIRST = datetime(1840, 1, 1, tzinfo=UTC)
_LAST = datetime(2310, 1, 1, tzinfo=UTC)
_STEP = timedelta(hours=12)
_END_OF_DAY = "CAST(day AS TIMESTAMP) + INTERVAL 86399 SECOND"


def add_time_functions(
    connection: duckdb.DuckDBPyConnection, timezone: str | None
) -> Callable[[], None]:
    """Make both SQL functions; without a zone `local_to_utc` changes nothing.

    Returns:
        Takes the functions away again.

    Raises:
        UsageError: there is no such time zone.
    """
    if timezone is None:
        connection.execute("CREATE MACRO local_to_utc(moment) AS CAST(moment AS TIMESTAMP)")
        connection.execute(f"CREATE MACRO end_of_day(day) AS {_END_OF_DAY}")
        return lambda: None
    boundaries, offsets = zone_offsets(timezone)

    def convert(moments: pa.Array) -> pa.Array:
        local = moments.cast(pa.int64()).to_numpy(zero_copy_only=False)
        known = moments.is_valid().to_numpy(zero_copy_only=False)
        local = np.where(known, local, 0).astype(np.int64)
        utc = local - offsets[np.searchsorted(boundaries, local, side="right")]
        return pa.array(utc, mask=~known).cast(pa.timestamp("us"))

    connection.create_function(
        "local_to_utc",
        convert,
        ["TIMESTAMP"],
        "TIMESTAMP",
        type=PythonUDFType.ARROW,
        null_handling=FunctionNullHandling.SPECIAL,
    )
    connection.execute(f"CREATE MACRO end_of_day(day) AS local_to_utc({_END_OF_DAY})")

    def remove() -> None:
        connection.remove_function("local_to_utc")

    return remove


def zone_offsets(timezone: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A zone's offsets from UTC as a function of local time, all in microseconds.

    Returns:
        Local times `[changes]` at which the offset changes, and offsets `[changes + 1]`:
        `offsets[n]` holds before `boundaries[n]`.

    Raises:
        UsageError: there is no such time zone.
    """
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"there is no time zone '{timezone}'. Name one as the IANA does, as Europe/Berlin."
        ) from None
    boundaries: list[int] = []
    offsets = [_offset(_FIRST, zone)]
    moment = _FIRST
    while moment < _LAST:
        following = moment + _STEP
        if _offset(following, zone) != offsets[-1]:
            change = _find_change(moment, following, zone)
            before, after = offsets[-1], _offset(change, zone)
            boundaries.append(_microseconds(change - _EPOCH) + max(before, after))
            offsets.append(after)
            moment = change
        else:
            moment = following
    return np.asarray(boundaries, dtype=np.int64), np.asarray(offsets, dtype=np.int64)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _offset(moment: datetime, zone: ZoneInfo) -> int:
    offset = moment.astimezone(zone).utcoffset()
    return _microseconds(offset or timedelta())


def _microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _find_change(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The first second after `low` with another offset than at `low`; `high` has one."""
    offset = _offset(low, zone)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if _offset(middle, zone) == offset:
            low = middle
        else:
            high = middle
    return high
