"""Gaussian noise for counts: how much of it. Neighboring data sets differ by one subject."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.privacy.gaussian import gaussian_multiplier
from fedehr_shared.privacy.system_noise import NoiseSource
from fedehr_shared.vocabulary.noise_spent import NoiseSpent


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
