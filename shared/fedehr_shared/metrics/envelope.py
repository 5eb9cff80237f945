"""Bounds on a mean of a step function where a mean place and a deviation are all that is known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDED = 0.500_001
"""A mean was rounded to whole cells, after sums in float64."""
_MOST_CUTS = 16
_CURVATURES = (0.0, 0.02, 0.1, 0.4, 1.5)
"""Tried, as shares of the function's rise over the squared deviation."""


@dataclass(frozen=True)
class Steps:
    """A step function over each of many bins, as its flat pieces, bin after bin.

    Attributes:
        begins: `[pieces]`, where each begins, from its bin's mean place.
        ends: `[pieces]`.
        values: `[pieces]`.
        firsts: `[bins]`, each bin's first piece.
        bins: `[pieces]`, whose each is.
    """

    begins: Floats
    ends: Floats
    values: Floats
    firsts: Ints
    bins: Ints

    @classmethod
    def of(
        cls, lows: Floats, highs: Floats, means: Floats, jumps: Floats, shares: Floats
    ) -> "Steps":
        """The function that is `shares[k]` where `k` of `jumps` are passed.

        Args:
            lows: `[bins]`, where each bin begins.
            highs: `[bins]`, where it ends.
            means: `[bins]`, its mean place.
            jumps: `[jumps]`, rising.
            shares: `[jumps + 1]`.
        """
        passed = np.searchsorted(jumps, lows, side="right")
        num = np.maximum(np.searchsorted(jumps, highs, side="left"), passed) - passed + 1
        firsts = np.cumsum(num) - num
        bins = np.repeat(np.arange(num.size), num)
        order = passed[bins] + np.arange(bins.size) - firsts[bins]
        edges = np.concatenate([[-np.inf], jumps, [np.inf]])
        begins = np.maximum(edges[order], lows[bins]) - means[bins]
        ends = np.minimum(edges[order + 1], highs[bins]) - means[bins]
        return cls(begins, ends, shares[order], firsts, bins)

    def least_means(self, deviations: Floats) -> Floats:
        """What each bin's mean of the function is at least.

        A parabola `v + s x - k x^2` below the function has a mean below the function's, and of
        its own mean the first two moments are enough. Each `k` tried gives a bound that holds;
        `s` is closed in upon from the side on which the parabola touches.

        Args:
            deviations: `[bins]`, root mean squared distances from the mean place, or more.

        Returns:
            `[bins]`.
        """
        variances = np.maximum(deviations, 1.0) ** 2
        least = np.minimum.reduceat(self.values, self.firsts)
        rise = np.maximum.reduceat(self.values, self.firsts) - least
        best = least
        for curvature in _CURVATURES:
            best = np.maximum(best, self._by_parabola(curvature * rise / variances, variances))
        return best

    def _by_parabola(self, curvatures: Floats, variances: Floats) -> Floats:
        rise = np.ptp(self.values)
        steepest = (rise + 1e-12) * 4 / np.sqrt(variances) + np.abs(self._chord())
        low, high = -steepest, steepest
        best = np.full(curvatures.size, -np.inf)
        for _ in range(_MOST_CUTS):
            slope = (low + high) / 2
            lowest, touched = self._touch(slope, curvatures)
            best = np.maximum(best, lowest - np.abs(slope) * ROUNDED)
            low, high = np.where(touched < 0, slope, low), np.where(touched < 0, high, slope)
        return np.asarray(best - curvatures * variances)

    def _touch(self, slope: Floats, curvatures: Floats) -> tuple[Floats, Floats]:
        """The least of `value - s x + k x^2` in each bin, and where."""
        s, k = slope[self.bins], curvatures[self.bins]
        with np.errstate(divide="ignore", invalid="ignore"):
            x = np.where(k > 0, s / (2 * k), np.where(s > 0, np.inf, -np.inf))
        x = np.clip(x, self.begins, self.ends)
        depth = self.values - s * x + k * x * x
        lowest = np.minimum.reduceat(depth, self.firsts)
        touched = np.flatnonzero(depth == lowest[self.bins])
        return lowest, x[touched[np.searchsorted(touched, self.firsts)]]

    def _chord(self) -> Floats:
        lasts = np.append(self.firsts[1:], self.values.size) - 1
        run = self.ends[lasts] - self.begins[self.firsts]
        return np.asarray((self.values[lasts] - self.values[self.firsts]) / np.maximum(run, 1.0))
