"""The Gaussian mechanism, once and without sampling: its delta, and its noise.

The analytic mechanism of Balle and Wang (2018, "Improving the Gaussian Mechanism for Differential
Privacy", Theorem 8), exact for every epsilon. Neighboring data sets differ by one unit, added or
removed.
"""

import math


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
