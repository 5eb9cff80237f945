"""The loss threshold: whom a model knows better than others, it has seen (Yeom et al. 2018)."""

import numpy as np
from numpy.typing import NDArray

from fedehr_simulations.attacks.candidates import SubjectConfidences

LOSS = "loss"


def loss_scores(told: SubjectConfidences) -> NDArray[np.float64]:
    """Higher for who is taken for a member: the negative mean loss over what is known.

    Shape: `[subjects]`; NaN for a subject of which nothing is.
    """
    known = ~np.isnan(told.losses)
    counts = known.sum(axis=1)
    sums = np.where(known, told.losses, 0.0).sum(axis=1)
    return np.where(counts > 0, -sums / np.maximum(counts, 1), np.nan)
