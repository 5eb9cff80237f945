"""How often a positive of one site is above a negative of another, from their histograms."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.metrics.bound import Bound
from fedehr_shared.metrics.envelope import Steps
from fedehr_shared.metrics.score_histogram import ScoreHistogram

Floats = NDArray[np.float64]

_SLACK = 1e-9


def rank_bound(positives: ScoreHistogram, negatives: ScoreHistogram) -> Bound:
    """The AUROC of all pairs of a positive of one and a negative of the other.

    Of the negatives' distribution function each edge is known, and so a function below it and
    one above. What their mean over a bin of positives is at least and at most follows from the
    bin's range, mean place and deviation (`Steps.least_means`). The same holds with positives
    and negatives changed about; both are used.
    """
    up, down = _Bins.of(positives), _Bins.of(negatives)
    return _share_below(up, down).both(_share_below(down.mirrored(), up.mirrored()))


@dataclass(frozen=True)
class _Bins:
    """Bins from below, and their sizes `[numbers, bins]` for each possible number."""

    lows: Floats
    highs: Floats
    means: Floats
    deviations: Floats
    sizes: Floats

    @classmethod
    def of(cls, told: ScoreHistogram) -> "_Bins":
        means, deviations = (np.asarray(x, dtype=np.float64) for x in (told.means, told.deviations))
        return cls(told.lows, told.highs, means, deviations, told.sizes)

    def mirrored(self) -> "_Bins":
        low, high = -self.highs[::-1], -self.lows[::-1]
        return _Bins(low, high, -self.means[::-1], self.deviations[::-1], self.sizes[:, ::-1])

    def shares(self) -> tuple[Floats, Floats]:
        """Least and greatest share within the first 0, 1, ... bins. `[bins + 1]` each."""
        total = self.sizes.sum(axis=1, keepdims=True)
        shares = np.pad(np.cumsum(self.sizes, axis=1), ((0, 0), (1, 0))) / total
        return shares.min(axis=0), shares.max(axis=0)

    def mean_of(self, values: Floats) -> Floats:
        """The subjects' mean of a value a bin, for each possible number. `[numbers]`."""
        return np.asarray(self.sizes @ values / self.sizes.sum(axis=1))


def _share_below(ours: _Bins, theirs: _Bins) -> Bound:
    """The mean share of theirs below one of ours, ties counting half."""
    least, greatest = theirs.shares()
    own = ours.lows, ours.highs, ours.means
    low = Steps.of(*own, theirs.highs, least).least_means(ours.deviations)
    high = -Steps.of(*own, theirs.lows, -greatest).least_means(ours.deviations)
    found = Bound(float(ours.mean_of(low).min()), float(ours.mean_of(high).max()))
    return found.widened(_SLACK).within(0.0, 1.0)
