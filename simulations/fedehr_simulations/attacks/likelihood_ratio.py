"""The likelihood ratio with shadow models (LiRA, Carlini et al. 2022, algorithm 1, online).

How sure models are of one subject is taken as normal, once over those that learnt from it and
once over those that did not; the released model's own confidence is held against both. With the
few shadows that fit here the two means are each subject's, and the two deviations are common
to all subjects (the paper, section VI.B, does so below 64 shadows).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedehr_simulations.attacks.candidates import SubjectConfidences

LIKELIHOOD_RATIO = "lira"
LEAST_SHADOWS = 4
"""Two models with each subject and two without: fewer have no deviation."""
_LEAST_DEVIATION = 1e-6
Floats = NDArray[np.float64]


def likelihood_ratios(
    target: SubjectConfidences,
    shadows: Sequence[SubjectConfidences],
    has_learnt: NDArray[np.bool_],
) -> Floats:
    """Higher for who is taken for a member: the log of the ratio of the two densities.

    Args:
        target: the released model's confidences.
        shadows: each shadow's, of the same subjects in the same order.
        has_learnt: `[shadows, subjects]`, which shadow learnt from whom; at least two did and
            two did not, for each subject.

    Shape: `[subjects]`; NaN for a subject of which nothing is known.
    """
    told = np.stack([shadow.confidences for shadow in shadows])
    seen = has_learnt[:, :, None] & ~np.isnan(told)
    unseen = ~has_learnt[:, :, None] & ~np.isnan(told)
    ratio = _log_density(target.confidences, told, seen)
    ratio -= _log_density(target.confidences, told, unseen)
    known = ~np.isnan(ratio)
    return np.where(known.any(axis=1), np.where(known, ratio, 0.0).sum(axis=1), np.nan)


def _log_density(asked: Floats, told: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """Of the asked values among the chosen shadows', but for a constant.

    Shape: `[subjects, questions]` and twice `[shadows, subjects, questions]`, to the first.
    """
    counts = chosen.sum(axis=0)
    means = np.where(chosen, told, 0.0).sum(axis=0) / np.maximum(counts, 1)
    squares = np.where(chosen, (told - means) ** 2, 0.0).sum(axis=(0, 1))
    freedom = np.maximum(counts - 1, 0).sum(axis=0)
    deviations = np.maximum(np.sqrt(squares / np.maximum(freedom, 1)), _LEAST_DEVIATION)
    # The mean of few models is itself uncertain.
    spread = deviations * np.sqrt(1 + 1 / np.maximum(counts, 1))
    density = -0.5 * ((asked - means) / spread) ** 2 - np.log(spread)
    return np.where(counts > 0, density, np.nan)
