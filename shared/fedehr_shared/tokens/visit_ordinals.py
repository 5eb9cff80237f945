"""Hospital stays numbered within each subject, in the order in which they are first seen."""

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.events import NO_VISIT
from fedehr_shared.tokens.subject_rows import SubjectRows


def visit_ordinals(visit_ids: NDArray[np.int64], subjects: SubjectRows) -> NDArray[np.int32]:
    """1 for a subject's first hospital stay, 2 for its second; 0 outside a stay.

    Args:
        visit_ids: `[events]`, `NO_VISIT` outside a stay; two subjects may use one number.
        subjects: whose rows are which.

    Shape: `[events]`.
    """
    # Events of one stay come in stretches, of which there are far fewer than events.
    is_start = np.empty(visit_ids.size, dtype=bool)
    np.not_equal(visit_ids[1:], visit_ids[:-1], out=is_start[1:])
    is_start[subjects.starts] = True
    starts = np.flatnonzero(is_start)
    visits = visit_ids.take(starts)
    in_stay = np.flatnonzero(visits != NO_VISIT)
    ordinals = np.zeros(starts.size, dtype=np.int32)
    whose = subjects.subjects_of(starts.take(in_stay))
    ordinals[in_stay] = _ordinals_of_stretches(visits.take(in_stay), whose)
    return np.repeat(ordinals, np.diff(starts, append=visit_ids.size))


def _ordinals_of_stretches(visits: NDArray[np.int64], whose: NDArray[np.intp]) -> NDArray[np.int32]:
    """The ordinal of each stretch's stay; overlapping stays come in several stretches.

    Args:
        visits: `[stretches]`.
        whose: `[stretches]`, rising: the subject of each.

    Shape: `[stretches]`.
    """
    order = np.lexsort((visits, whose))
    by_stay, by_subject = visits[order], whose[order]
    is_first = np.ones(order.size, dtype=bool)
    is_first[1:] = (by_stay[1:] != by_stay[:-1]) | (by_subject[1:] != by_subject[:-1])
    # Lexsort is stable: a stay's first stretch leads its others.
    leaders = order[is_first]
    is_new = np.zeros(order.size, dtype=np.int32)
    is_new[leaders] = 1
    stays_so_far = np.cumsum(is_new, dtype=np.int32)
    starts = np.flatnonzero(np.diff(whose, prepend=-1))
    stays_before = np.repeat(stays_so_far[starts] - 1, np.diff(starts, append=whose.size))
    ordinals = np.empty(order.size, dtype=np.int32)
    num_stretches = np.diff(np.flatnonzero(is_first), append=order.size)
    ordinals[order] = np.repeat((stays_so_far - stays_before)[leaders], num_stretches)
    return ordinals
