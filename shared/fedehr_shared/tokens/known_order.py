"""When an event is known, and events in that order."""

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.events import NO_TIME, Events
from fedehr_shared.tokens.subject_rows import SubjectRows


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
    late = np.flatnonzero((delays > 0).take(events.code_indices))
    late = late[events.times.take(late) != NO_TIME]
    if late.size == 0:
        return events
    known = events.times.take(late) + delays.take(events.code_indices.take(late))
    times = events.times.copy()
    times[late] = known
    order = _order(events.times, late, known, subjects)
    return Events(
        events.subject_ids,
        times.take(order),
        events.code_indices.take(order),
        events.values.take(order),
        events.visit_ids.take(order),
        events.codes,
    )


def _order(
    times: NDArray[np.int64],
    late: NDArray[np.intp],
    known: NDArray[np.int64],
    subjects: SubjectRows,
) -> NDArray[np.intp]:
    """The rows in the order of when they are known, stably within each subject.

    Args:
        times: `[events]`, of the events themselves.
        late: the rows that are known later.
        known: of these, when.
        subjects: whose rows are which.

    Shape: `[events]`.
    """
    whose = subjects.subjects_of(late)
    # An event that is known late happened before any that happens when it is known.
    ends = _first_row_at(times, known, late + 1, (subjects.starts + subjects.lengths)[whose])
    punctual_before = ends - np.searchsorted(late, ends)
    sort = np.lexsort((known, whose))
    is_late = np.zeros(times.size, dtype=bool)
    is_late[late] = True
    punctual = np.flatnonzero(~is_late)
    is_late[:] = False
    is_late[punctual_before[sort] + np.arange(late.size)] = True
    order = np.empty(times.size, dtype=np.intp)
    order[is_late] = late[sort]
    order[~is_late] = punctual
    return order


def _first_row_at(
    times: NDArray[np.int64],
    wanted: NDArray[np.int64],
    low: NDArray[np.intp],
    high: NDArray[np.intp],
) -> NDArray[np.intp]:
    """The first row from `low` on at or after the time wanted, `high` if none is before it.

    All are bisected at once; times rise from `low` to `high`.

    Shape: `[n]`, but for `times`.
    """
    while (is_open := low < high).any():
        middle = (low + high) >> 1
        before = is_open & (times.take(middle, mode="clip") < wanted)
        low = np.where(before, middle + 1, low)
        high = np.where(before, high, middle)
    return low
