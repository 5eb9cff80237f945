"""The epsilon that a mechanism shows, from below: what its outputs alone prove.

Outputs on two neighboring data sets are told apart by a threshold. Each error's true rate is
bounded by Clopper and Pearson (1934), so that the bounds hold with the chosen confidence
whatever the mechanism is: an empirical epsilon above the claimed one refutes the claim.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_NUM_THRESHOLDS = 200
_MOST_EPSILON = 1e3
_HALVINGS = 60


@dataclass(frozen=True)
class Trials:
    """Outputs of many runs, as one number each; higher speaks for the one subject more.

    Attributes:
        without: `[trials]`, on the smaller data set.
        with_one: `[trials]`, on the one with a subject more.
    """

    without: Floats
    with_one: Floats

    def halves(self) -> tuple["Trials", "Trials"]:
        """Every other trial, and the rest: one chooses a threshold, one judges it."""
        return (
            Trials(self.without[::2], self.with_one[::2]),
            Trials(self.without[1::2], self.with_one[1::2]),
        )

    def turned(self) -> "Trials":
        """The two data sets in each other's place."""
        return Trials(-self.with_one, -self.without)


def share_bounds(num_found: int, num_trials: int, confidence: float) -> tuple[float, float]:
    """The true rate lies between these two with at least `confidence` (Clopper and Pearson)."""
    from scipy.stats import beta

    error = (1 - confidence) / 2
    low = beta.ppf(error, num_found, num_trials - num_found + 1) if num_found else 0.0
    high = beta.ppf(1 - error, num_found + 1, num_trials - num_found)
    return float(low), 1.0 if num_found == num_trials else float(high)


def epsilon_shown(trials: Trials, delta: float, confidence: float) -> float:
    """A lower bound of the epsilon that the outputs have at `delta`, whatever the mechanism.

    From `TPR <= e^epsilon FPR + delta`, at the threshold that one half of the trials chooses and
    the other half judges, with either data set as the one to be found.

    Args:
        trials: independent of one another.
        delta: of the claim.
        confidence: that the bound is one.
    """
    best = 0.0
    # Two bounds are tried: each may be wrong half as often.
    each = 1 - (1 - confidence) / 2
    for one in (trials, trials.turned()):
        choosing, judging = one.halves()
        threshold = max(
            _thresholds(choosing), key=lambda at: _shown_at(choosing, at, delta, confidence)
        )
        best = max(best, _shown_at(judging, threshold, delta, each))
    return best


def gaussian_epsilon_shown(trials: Trials, delta: float, confidence: float) -> float:
    """A lower bound as `epsilon_shown`, of a mechanism that is Gaussian if it is right.

    The distance of two normal outputs follows from one threshold (Nasr et al. 2023, "Tight
    Auditing of Differentially Private Machine Learning", section 4), and from it the epsilon at
    any delta: a few thousand trials come close to the truth, where `epsilon_shown` needs millions.
    Of a mechanism that is not Gaussian it proves nothing.
    """
    choosing, judging = trials.halves()
    threshold = max(_thresholds(choosing), key=lambda at: _distance_at(choosing, at, confidence))
    return gaussian_epsilon(max(0.0, _distance_at(judging, threshold, confidence)), delta)


def gaussian_epsilon(distance: float, delta: float) -> float:
    """The epsilon at `delta` of two normal outputs `distance` standard deviations apart.

    The exact one (Balle and Wang 2018, "Improving the Gaussian Mechanism", theorem 8).
    """
    if distance <= 0 or _gaussian_delta(distance, 0.0) <= delta:
        return 0.0
    low, high = 0.0, _MOST_EPSILON
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _gaussian_delta(distance, middle) > delta:
            low = middle
        else:
            high = middle
    return low


def _gaussian_delta(distance: float, epsilon: float) -> float:
    from scipy.stats import norm

    near = norm.cdf(distance / 2 - epsilon / distance)
    # In logarithms: e^epsilon alone would be too large a number.
    far = np.exp(epsilon + norm.logcdf(-distance / 2 - epsilon / distance))
    return float(near - far)


def _distance_at(trials: Trials, threshold: float, confidence: float) -> float:
    from scipy.stats import norm

    lowest_tpr, highest_fpr = _rates(trials, threshold, confidence)
    return float(norm.ppf(lowest_tpr) - norm.ppf(highest_fpr))


def _shown_at(trials: Trials, threshold: float, delta: float, confidence: float) -> float:
    lowest_tpr, highest_fpr = _rates(trials, threshold, confidence)
    if lowest_tpr <= delta:
        return 0.0
    return float(np.log((lowest_tpr - delta) / highest_fpr))


def _rates(trials: Trials, threshold: float, confidence: float) -> tuple[float, float]:
    """TPR from below and FPR from above, both at once with `confidence`: of each interval one end
    is asked for, and each end is wrong half as often as the interval."""
    found = int((trials.with_one >= threshold).sum())
    alarms = int((trials.without >= threshold).sum())
    return (
        share_bounds(found, trials.with_one.size, confidence)[0],
        share_bounds(alarms, trials.without.size, confidence)[1],
    )


def _thresholds(trials: Trials) -> Floats:
    both = np.concatenate([trials.without, trials.with_one])
    # Dense at both ends, where large epsilons show.
    shares = 1 / (1 + np.exp(np.linspace(-9, 9, _NUM_THRESHOLDS)))
    return np.unique(np.quantile(both, shares))
