"""Gaussian noise for counts: how much of it, and where it comes from.

The mechanism is the analytic one of Balle and Wang (2018, "Improving the Gaussian Mechanism for
Differential Privacy", Theorem 8), exact for every epsilon. Neighboring data sets differ by one
subject, added or removed.
"""

import math
import os
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.vocabulary.noise_spent import NoiseSpent


class NoiseSource(Protocol):
    """Where random numbers come from; NumPy's `Generator` is one, for tests alone."""

    def standard_normal(self, size: int) -> NDArray[np.float64]:
        """Independent standard normal numbers. Shape: `[size]`."""
        ...

    def random(self, size: int) -> NDArray[np.float64]:
        """Independent uniform numbers in [0, 1). Shape: `[size]`."""
        ...


class SystemNoise:
    """The operating system's entropy: no seed, no message and no setting steers it.

    Counts are rounded to whole numbers after the noise was added, so that the low bits of a
    floating-point number, which can give noise away (Mironov 2012), never leave.
    """

    def standard_normal(self, size: int) -> NDArray[np.float64]:
        """By Box and Muller (1958); the tails reach 8.5 standard deviations."""
        radius = np.sqrt(-2.0 * np.log(1.0 - self.random(size)))
        return np.asarray(radius * np.cos(2.0 * math.pi * self.random(size)))

    def random(self, size: int) -> NDArray[np.float64]:
        """Multiples of 2^-53."""
        words = np.frombuffer(os.urandom(8 * size), dtype=np.uint64)
        return np.asarray((words >> np.uint64(11)) * 2.0**-53)


@dataclass(frozen=True)
class NoiseBounds:
    """How a release is drawn.

    Attributes:
        sigma: the noise's standard deviation, in subjects.
        min_cell: no noisy number below it is told.
        source: where the noise comes from.
    """

    sigma: float
    min_cell: int
    source: NoiseSource

    def draw(self, size: int) -> NDArray[np.float64]:
        """Fresh noise. Shape: `[size]`."""
        return self.sigma * self.source.standard_normal(size)


def spend(epsilon: float, delta: float, sensitivity: float) -> NoiseSpent:
    """The noise for a release that one subject moves by `sensitivity` (L2) at most."""
    return NoiseSpent(epsilon, delta, sensitivity * gaussian_multiplier(epsilon, delta / 2))


def naming_threshold(spent: NoiseSpent, num_codes_per_subject: int, min_cell: int) -> float:
    """The noisy count above which a code may be named.

    With one subject added, up to `num_codes_per_subject` codes can appear that nobody else has;
    the chance that any of them is named is `delta / 2` (Wilson et al. 2020, "Differentially
    Private SQL with Bounded User Contribution"). A code of `min_cell - 1` subjects has no
    better chance.
    """
    tail = -math.expm1(math.log1p(-spent.delta / 2) / num_codes_per_subject)
    return min_cell - 1 - spent.sigma * NormalDist().inv_cdf(tail)


def gaussian_delta(multiplier: float, epsilon: float) -> float:
    """The delta of the Gaussian mechanism at sensitivity 1 (Balle and Wang 2018, Theorem 8)."""
    upper = _normal_cdf(0.5 / multiplier - epsilon * multiplier)
    lower = _normal_cdf(-0.5 / multiplier - epsilon * multiplier)
    return upper - math.exp(epsilon) * lower


def gaussian_multiplier(epsilon: float, delta: float) -> float:
    """The least noise, in units of the sensitivity, that is (epsilon, delta) private.

    Found by bisection to a relative 1e-12, from above: too much rather than too little.
    """
    low, high = 1e-6, 1.0
    while gaussian_delta(high, epsilon) > delta:
        high *= 2.0
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if gaussian_delta(middle, epsilon) > delta:
            low = middle
        else:
            high = middle
    return high


def _normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))
