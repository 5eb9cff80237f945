"""`Bound`: the least and the greatest that a number may be, given what was told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bound:
    """A closed range that holds the number for certain."""

    least: float
    greatest: float

    @property
    def middle(self) -> float:
        """Half way."""
        return (self.least + self.greatest) / 2

    @property
    def half_width(self) -> float:
        """The most that the middle may be wrong by."""
        return (self.greatest - self.least) / 2

    def widened(self, by: float) -> "Bound":
        """Further on both sides."""
        return Bound(self.least - by, self.greatest + by)

    def within(self, least: float, greatest: float) -> "Bound":
        """The part within a range that no such number leaves."""
        return Bound(max(self.least, least), min(self.greatest, greatest))

    def both(self, other: "Bound") -> "Bound":
        """What two bounds of one number leave open."""
        return self.within(other.least, other.greatest)


def mean_bound(values: Iterable[Bound], weights: Sequence[Bound]) -> Bound:
    """The range of a weighted mean of which values and weights are known within ranges.

    A mean is monotone in each weight, so that at its least all weights of the smaller values
    are greatest and those of the larger least (a sorted cut); all cuts are tried.

    Args:
        values: one or more.
        weights: of each, above zero.
    """
    known = list(values)
    least = _least_mean([v.least for v in known], weights)
    return Bound(least, -_least_mean([-v.greatest for v in known], weights))


def _least_mean(values: Sequence[float], weights: Sequence[Bound]) -> float:
    order = np.argsort(values, kind="stable")
    x = np.asarray(values)[order]
    low = np.asarray([w.least for w in weights])[order]
    high = np.asarray([w.greatest for w in weights])[order]
    mass = low.sum() + np.cumsum(np.append(0.0, high - low))
    sums = (x * low).sum() + np.cumsum(np.append(0.0, x * (high - low)))
    return float((sums / mass).min())
