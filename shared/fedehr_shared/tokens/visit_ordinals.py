"""Hospital stays numbered within each subject, in the order in which they are first seen."""

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.events import NO_VISIT


def visit_ordinals(
    visit_ids: NDArray[np.int64], subject_of_row: NDArray[np.intp]
) -> NDArray[np.int32]:
    """1 for a subject's first hospital stay, 2 for its second; 0 outside a stay.

    Args:
        visit_ids: `[events]`, `NO_VISIT` outside a stay; two subjects may use one number.
        subject_of_row: `[events]`, rising.

    Shape: `[events]`.
    """
    ordinals = np.zeros(visit_ids.size, dtype=np.int32)
    rows = np.flatnonzero(visit_ids != NO_VISIT)
    if rows.size == 0:
        return ordinals
    visits, subjects = visit_ids.take(rows), subject_of_row.take(rows)
    is_start = np.empty(rows.size, dtype=bool)
    is_start[0] = True
    is_start[1:] = (visits[1:] != visits[:-1]) | (subjects[1:] != subjects[:-1])
    starts = np.flatnonzero(is_start)
    of_stretch = _ordinals_of_stretches(visits[starts], subjects[starts])
    ordinals[rows] = np.repeat(of_stretch, np.diff(starts, append=rows.size))
    return ordinals


def _ordinals_of_stretches(
    visits: NDArray[np.int64], subjects: NDArray[np.intp]
) -> NDArray[np.int32]:
    """The same for stretches of events of one stay; overlapping stays come in several."""
    order = np.lexsort((visits, subjects))
    by_stay, by_subject = visits[order], subjects[order]
    is_first = np.ones(order.size, dtype=bool)
    is_first[1:] = (by_stay[1:] != by_stay[:-1]) | (by_subject[1:] != by_subject[:-1])
    # Lexsort is stable: a stay's first stretch leads its others.
    leader = order[is_first].repeat(np.diff(np.flatnonzero(is_first), append=order.size))
    is_new = np.zeros(order.size, dtype=bool)
    is_new[order[is_first]] = True
    count = np.cumsum(is_new)
    subject_starts = np.flatnonzero(np.diff(subjects, prepend=-1))
    before = np.repeat(count[subject_starts] - 1, np.diff(subject_starts, append=subjects.size))
    ordinals = np.empty(order.size, dtype=np.int32)
    ordinals[order] = (count - before)[leader]
    return ordinals
