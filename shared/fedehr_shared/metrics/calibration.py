"""How far probabilities are from what happens, for many bootstrap weightings at once."""

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.metrics.binary import Metric
from fedehr_shared.metrics.recalibration import fit_line, log_odds

Floats = NDArray[np.float64]


def calibration_error(num_bins: int) -> Metric:
    """Mean distance of predicted and observed share over bins of equal mass, by their mass.

    The expected calibration error of Naeini et al. (2015), with equal-mass bins (Nguyen and
    O'Connor 2015). Bins are those of the whole sample; equal scores share a bin.

    Args:
        num_bins: at most so many.
    """

    def measure(labels: Floats, scores: Floats, weights: Floats) -> Floats:
        places = _equal_mass(scores, num_bins)
        gaps = np.zeros(weights.shape[0])
        for place in range(num_bins):
            inside = places == place
            gaps += np.abs(weights[:, inside] @ (labels[inside] - scores[inside]))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(gaps / weights.sum(axis=1))

    return measure


def num_bins_allowed(num: int, most: int, min_cell: int) -> int:
    """Bins of equal mass, none of which holds fewer than `min_cell` of `num` subjects."""
    return max(1, min(most, num // min_cell))


def calibration_slope(labels: Floats, scores: Floats, weights: Floats) -> Floats:
    """Slope of outcomes on the model's log-odds (Cox 1958): 1 is right, below 1 too extreme.

    Shape: labels and scores `[n]`, weights `[replicates, n]` to `[replicates]`; NaN where no
    finite slope is best.
    """
    return fit_line(labels, log_odds(scores), weights)[0]


def calibration_intercept(labels: Floats, scores: Floats, weights: Floats) -> Floats:
    """Intercept beside `calibration_slope`: 0 is right. Shape: as there."""
    return fit_line(labels, log_odds(scores), weights)[1]


def _equal_mass(scores: Floats, num_bins: int) -> NDArray[np.int64]:
    """Each score's bin by the middle of its rank. `[n]`."""
    ordered = np.sort(scores)
    below = np.searchsorted(ordered, scores, side="left")
    upto = np.searchsorted(ordered, scores, side="right")
    middle = (below + upto) / 2 / max(scores.size, 1)
    return np.asarray(np.minimum((middle * num_bins).astype(np.int64), num_bins - 1))
