"""When an event is known, and events in that order."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.events import NO_TIME, Events
from fedehr_shared.tokens.subject_rows import SubjectRows

_LARGEST_KEY = 2.0**62


def in_known_order(events: Events, delays: NDArray[np.int64], subjects: SubjectRows) -> Events:
    """The events with the times at which they are known, in the order of these.

    A model that reads up to a prediction time must see what was known by then and nothing else:
    neither a billing code before it was charted nor a trace of it in what comes before. Events
    known at the same time stay in their order; static events stay first and without a time.

    Args:
        events: whole subjects, each sorted by time.
        delays: `[codes]`, microseconds from an event's time to when it is known, 0 or more.
        subjects: whose rows are which.
    """
    if not delays.any():
        return events
    own = delays.take(events.code_indices)
    own[events.times == NO_TIME] = 0
    late = np.flatnonzero(own)
    if late.size == 0:
        return events
    events = replace(events, times=events.times + own)
    order = _order(events.times, late, subjects)
    return Events(
        events.subject_ids,
        events.times.take(order),
        events.code_indices.take(order),
        events.values.take(order),
        events.visit_ids.take(order),
        events.codes,
    )


def _order(
    times: NDArray[np.int64], late: NDArray[np.intp], subjects: SubjectRows
) -> NDArray[np.intp]:
    """The rows sorted by subject and time, stably; all but the `late` rows are so already."""
    keys = _keys(times, subjects)
    if keys is None:
        whose = subjects.spread(np.arange(subjects.starts.size))
        return np.lexsort((times, whose))
    is_late = np.zeros(times.size, dtype=bool)
    is_late[late] = True
    punctual = np.flatnonzero(~is_late)
    late = late[np.argsort(keys[late], kind="stable")]
    # A late event happened before a punctual one that is known at the same time.
    before = np.searchsorted(keys[punctual], keys[late], side="left")
    is_late[:] = False
    is_late[before + np.arange(late.size)] = True
    order = np.empty(times.size, dtype=np.intp)
    order[is_late] = late
    order[~is_late] = punctual
    return order


def _keys(times: NDArray[np.int64], subjects: SubjectRows) -> NDArray[np.int64] | None:
    """One number a row that sorts by subject and time; None where 64 bits cannot hold it."""
    last = np.maximum.reduceat(times, subjects.starts)
    timed = np.where(times == NO_TIME, np.iinfo(np.int64).max, times)
    first = np.where(last == NO_TIME, 0, np.minimum.reduceat(timed, subjects.starts))
    last = np.maximum(last, first)
    # Two places more: one for static events before all others, one for the end.
    if (last.astype(np.float64) - first.astype(np.float64) + 2).sum() >= _LARGEST_KEY:
        return None
    ends = np.cumsum(last - first + 2)
    keys: NDArray[np.int64] = np.maximum(times, subjects.spread(first - 1))
    keys += subjects.spread(ends - last - 1)
    return keys
