"""How many of a site's events the vocabulary knows, and at which step of the back-off."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.vocabulary.resolution import ANCESTOR, BUCKET, EXACT, UNKNOWN_STEP


@dataclass(frozen=True)
class BackOffShares:
    """Shares of all events; None where the share rests on fewer subjects than `min_cell`.

    What is withheld could be found by subtraction, together if not alone; so the next smallest
    share is withheld too until the withheld ones rest on `min_cell` subjects together.
    """

    exact: float | None
    ancestor: float | None
    bucket: float | None
    unknown: float | None


def back_off_shares(
    steps: NDArray[np.int8], subject_ids: NDArray[np.int64], min_cell: int
) -> BackOffShares:
    """Shares of events at each step, withheld by the cell rule.

    Args:
        steps: `[events]`, as in `TokenizedEvents`.
        subject_ids: `[events]`.
        min_cell: a share that is not zero needs events of this many subjects.
    """
    rows = [steps == step for step in (EXACT, ANCESTOR, BUCKET, UNKNOWN_STEP)]
    num_subjects = [np.unique(subject_ids[row]).size for row in rows]
    shares = [float(row.mean()) if steps.size else 0.0 for row in rows]
    hidden = {i for i, num in enumerate(num_subjects) if 0 < num < min_cell}
    while 0 < _num_subjects_of(hidden, rows, subject_ids) < min_cell:
        rest = [i for i in range(len(rows)) if i not in hidden and shares[i] > 0]
        if not rest:
            break
        hidden.add(min(rest, key=lambda i: shares[i]))
    told = [None if i in hidden else share for i, share in enumerate(shares)]
    return BackOffShares(*told)


def _num_subjects_of(
    steps: set[int], rows: Sequence[NDArray[np.bool_]], subject_ids: NDArray[np.int64]
) -> int:
    """Subjects with an event at any of the steps."""
    at_any = np.zeros(subject_ids.size, dtype=bool)
    for step in steps:
        at_any |= rows[step]
    return int(np.unique(subject_ids[at_any]).size)
