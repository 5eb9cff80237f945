"""The AUPRC of all sites' scores, as far as their histograms tell it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.metrics.bound import Bound, mean_bound
from fedehr_shared.metrics.pooled import SiteScores
from fedehr_shared.metrics.score_histogram import ScoreHistogram

Floats = NDArray[np.float64]
_SLACK = 1e-9


def pooled_auprc(sites: Sequence[SiteScores]) -> Bound | None:
    """A range that holds the average precision of all sites' scores together.

    The precision at a positive's score is the number of positives there or above, over that of
    all. Both are known up to the bins that overlap its own: at the least none of their
    positives and all of their negatives are above, at the most the other way round. At the
    least, the n-th of a bin from the top has n - 1 of its own above it. Of one site alone its own
    value is known.

    Returns:
        None when there is no site.
    """
    if not sites:
        return None
    if len(sites) == 1 and sites[0].auprc is not None:
        return sites[0].auprc.within(0.0, 1.0)
    means = [
        Bound(_mean(site, sites, is_least=True), _mean(site, sites, is_least=False))
        for site in sites
    ]
    positives = [Bound(site.positives.num, site.positives.most) for site in sites]
    return mean_bound(means, positives).widened(_SLACK).within(0.0, 1.0)


def _mean(site: SiteScores, sites: Sequence[SiteScores], *, is_least: bool) -> float:
    """The mean precision at the site's positives, over the numbers that it may have."""
    own = site.positives
    true, false = np.zeros(len(own.means)), np.zeros(len(own.means))
    for other in sites:
        false += _num_above(own, other.negatives, is_surely=not is_least)
        if other is not site or not is_least:
            true += _num_above(own, other.positives, is_surely=is_least)
    if is_least:
        return min(_by_place(sizes, true, false) for sizes in own.sizes)
    precision = true / (true + false)
    return float((own.sizes @ precision / own.sizes.sum(axis=1)).max())


def _by_place(sizes: Floats, true: Floats, false: Floats) -> float:
    """The least mean over positives of which the n-th of a bin has n - 1 of the bin, and those
    of the site's higher bins, above it. `true` and `false` `[bins]`: who else is above.

    With `others = higher + true + false`, the sum of the precisions `1 - false / (others + n)`
    over a bin needs that of `1 / (others + n)`. As this is convex in n, each term is at most
    its integral from n - 1/2 to n + 1/2: a logarithm, whatever the bin's size.
    """
    others = np.cumsum(sizes[::-1])[::-1] - sizes + true + false
    lost = false * np.log1p(sizes / (others + 0.5))
    return float(max(0.0, 1 - lost.sum() / sizes.sum()))


def _num_above(own: ScoreHistogram, other: ScoreHistogram, *, is_surely: bool) -> Floats:
    """Subjects of another histogram at or above each bin, at least or at most. `[bins]`."""
    if is_surely:
        bins = len(other.means) - np.searchsorted(other.lows, own.highs, side="left")
        num = other.num
        return np.asarray(num - (len(other.means) - bins) * num // len(other.means), dtype=float)
    bins = len(other.means) - np.searchsorted(other.highs, own.lows, side="right")
    return np.asarray(-(-other.most * bins // len(other.means)), dtype=float)
