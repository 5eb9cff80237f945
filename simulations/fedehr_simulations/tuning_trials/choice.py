"""Which candidate of a variant is taken: by the tuning split, never by held-out subjects."""

from collections.abc import Sequence
from statistics import fmean


def chosen_place(tuning_scores: Sequence[Sequence[float | None]]) -> int | None:
    """The place of the candidate with the highest mean score; of equal ones the first.

    Args:
        tuning_scores: by candidate, one score a seed; None where the run failed or may not tell.
            A candidate that lacks one is out.

    Returns:
        None where all are out.
    """
    means = {
        place: fmean(score for score in scores if score is not None)
        for place, scores in enumerate(tuning_scores)
        if scores and None not in scores
    }
    return max(means, key=lambda place: (means[place], -place)) if means else None
