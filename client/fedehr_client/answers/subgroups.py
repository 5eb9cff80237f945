"""Which subgroup each example belongs to, and which groups may be told."""

import numpy as np
from numpy.typing import NDArray

from fedehr_client.training.examples import Examples
from fedehr_shared.config.evaluation import EvaluationConfig
from fedehr_shared.metrics.questions import SEXES, group_names
from fedehr_shared.tokens.sexes import UNKNOWN_SEX
from fedehr_shared.tokens.store import HOURS_PER_YEAR, TokenStore

_MICROSECONDS_PER_YEAR = HOURS_PER_YEAR * 3_600e6


def groups_of(
    evaluation: EvaluationConfig, store: TokenStore, examples: Examples
) -> dict[str, NDArray[np.int64]]:
    """By `sex` and `age`, each example's place in `group_names`. `[examples]`.

    An age is that at the prediction time. A subject whose sex or age is not known, or who has
    no event, is in a group of its own.
    """
    rows = store.rows_of(examples.subject_ids)
    names = group_names(evaluation)
    found: dict[str, NDArray[np.int64]] = {}
    if "sex" in names:
        sexes = np.where(rows >= 0, store.sexes[rows], UNKNOWN_SEX) if store.num_subjects else rows
        found["sex"] = np.clip(sexes, 0, len(SEXES) - 1).astype(np.int64)
    if "age" in names:
        ages = _ages(store, rows, examples.prediction_times)
        bands = np.searchsorted(np.asarray(evaluation.age_bands_years), ages, side="right")
        found["age"] = np.where(np.isnan(ages), len(names["age"]) - 1, bands).astype(np.int64)
    return found


def groups_told(
    counts: NDArray[np.int64], min_cell: int, may: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Which groups may be told beside the whole of which they are parts.

    A group is told with `min_cell` subjects in each class. What is hidden is found by
    subtracting the told from the whole, so that it must be no one, or as many itself: else the
    smallest told group is hidden too, and so on.

    Args:
        counts: `[groups, classes]`, subjects.
        min_cell: the site's.
        may: `[groups]`, False for what is hidden for another reason.

    Returns:
        `[groups]`.
    """
    told = np.asarray((counts >= min_cell).all(axis=1))
    if may is not None:
        told &= may
    while told.any():
        hidden = counts[~told].sum(axis=0)
        if hidden.sum() == 0 or (hidden >= min_cell).all():
            break
        sizes = np.where(told, counts.sum(axis=1), np.iinfo(np.int64).max)
        told[int(np.argmin(sizes))] = False
    return told


def _ages(
    store: TokenStore, rows: NDArray[np.int64], times: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Years at the prediction times, NaN where unknown. `[examples]`."""
    ages = np.full(rows.size, np.nan)
    if store.num_subjects == 0:
        return ages
    firsts = store.offsets[rows]
    has_tokens = (rows >= 0) & (store.offsets[rows + 1] > firsts)
    own, first = rows[has_tokens], firsts[has_tokens]
    # Hours count from the first timed event; a token of it has none.
    begins = store.times[first] - store.hours[first].astype(np.float64) * 3_600e6
    since = (times[has_tokens] - begins) / _MICROSECONDS_PER_YEAR
    ages[has_tokens] = store.first_ages[own] + since
    return ages
