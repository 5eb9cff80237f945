"""How many of a site's events the vocabulary knows exactly, by an ancestor, or not at all."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.tokens.tokenizer import ANCESTOR, EXACT, UNKNOWN_STEP


@dataclass(frozen=True)
class BackOffShares:
    """Shares of all events; None where the share rests on fewer subjects than `min_cell`.

    When one of three shares is withheld, the next smallest one is withheld too, or it could
    be found by subtraction.
    """

    exact: float | None
    ancestor: float | None
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
    rows = [steps == step for step in (EXACT, ANCESTOR, UNKNOWN_STEP)]
    num_subjects = [np.unique(subject_ids[row]).size for row in rows]
    shares = [float(row.mean()) if steps.size else 0.0 for row in rows]
    hidden = {i for i, num in enumerate(num_subjects) if 0 < num < min_cell}
    if len(hidden) == 1:
        rest = [i for i in range(3) if i not in hidden and shares[i] > 0]
        hidden |= {min(rest, key=lambda i: shares[i])} if rest else set()
    told = [None if i in hidden else share for i, share in enumerate(shares)]
    return BackOffShares(*told)
