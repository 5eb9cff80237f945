"""Prediction times as people write them, to microseconds since 1970."""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedehr_client.importers.engine.local_time import zone_offsets

if TYPE_CHECKING:
    from pandas import Series

NO_TIME = np.iinfo(np.int64).min
_DAY, _CLOCK = r"[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?"
_LOCAL = rf"{_DAY}({_CLOCK})?"
_WITH_OFFSET = rf"{_DAY}{_CLOCK}(Z|[+-][0-9]{{2}}:?[0-9]{{2}})"


def parse_times(texts: "Series[str]", zone: str | None) -> NDArray[np.int64]:
    """ISO 8601 dates and times; `NO_TIME` where one is not. A date means its first moment.

    Args:
        texts: `[rows]`.
        zone: of times without an offset, which become UTC by the rule of the importers; None:
            times stay local, and one with an offset is no time, as nobody knows its local one.

    Raises:
        UsageError: there is no such time zone.
    """
    with_offset = texts.str.fullmatch(_WITH_OFFSET).to_numpy(bool)
    local = _microseconds(texts.where(texts.str.fullmatch(_LOCAL)))
    if zone is None:
        return local
    boundaries, offsets = _offsets(zone)
    shift = offsets[np.searchsorted(boundaries, local, side="right")]
    utc = np.where(local == NO_TIME, NO_TIME, local - np.where(local == NO_TIME, 0, shift))
    return np.where(with_offset, _microseconds(texts.where(with_offset), is_utc=True), utc)


@cache
def _offsets(zone: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return zone_offsets(zone)


def _microseconds(texts: "Series[str]", *, is_utc: bool = False) -> NDArray[np.int64]:
    moments = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=is_utc)
    if is_utc:
        moments = moments.dt.tz_localize(None)
    return moments.to_numpy(dtype="datetime64[us]").astype(np.int64)
