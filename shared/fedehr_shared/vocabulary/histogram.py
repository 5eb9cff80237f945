"""Histograms that may leave a site, and quantiles read from their sum."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.cells import told_count
from fedehr_shared.errors import WireError
from fedehr_shared.vocabulary.grid import NUM_EDGES

MAX_BINS = 60
"""No histogram that leaves has many more bins; a multiple of 10, 12, 15 and 20, the usual
numbers of quantile bins."""


@dataclass(frozen=True)
class MergedHistogram:
    """Counts between edges of the fixed grid, each count at least the site's `min_cell`.

    `edges` has one entry more than `counts`; bin i covers grid bins `edges[i]` up to, and
    without, `edges[i + 1]`.
    """

    edges: tuple[int, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse what cannot be a histogram on the grid."""
        rising = all(low < high for low, high in pairwise(self.edges))
        inside = bool(self.edges) and self.edges[0] >= 0 and self.edges[-1] <= NUM_EDGES
        if len(self.edges) != len(self.counts) + 1 or not rising or not inside:
            raise WireError("a histogram's edges do not rise along the grid. Refuse the reply.")
        if min(self.counts, default=1) < 1:
            raise WireError("a histogram holds a count below one. Refuse the reply.")


def merge_bins(
    places: NDArray[np.int64], sizes: NDArray[np.int64], min_cell: int
) -> MergedHistogram | None:
    """Merge neighbouring bins from the left until each holds enough subjects.

    Enough is `min_cell`, and as many as carry the sum from the left over a multiple of
    1 / `MAX_BINS`: those multiples hold all deciles, so that a decile of one large site is an
    edge. A remainder too small for a bin of its own joins the last one. The sums from the left
    are told by the cell rule, so that rounding moves no quantile by more than `min_cell`. The
    outermost edges lie one grid bin beyond the inner ones, wherever the least and the greatest
    value lie: each of those is one subject's.

    Args:
        places: the grid bins that hold a subject's first value, rising, `[bins]`.
        sizes: how many subjects each holds, `[bins]`.
        min_cell: the least number of subjects in a bin.

    Returns:
        None when there are too few subjects for two bins: one bin tells nothing but its ends.
    """
    reached: list[int] = np.cumsum(sizes).tolist()
    whole = reached[-1] if reached else 0
    inner: list[int] = []
    totals = [0]
    while totals[-1] < whole:
        due = -(-(totals[-1] * MAX_BINS // whole + 1) * whole // MAX_BINS)
        at = bisect_left(reached, max(due, totals[-1] + min_cell))
        if at == len(reached):
            break
        inner.append(int(places[at]) + 1)
        totals.append(reached[at])
    if whole - totals[-1] < min_cell and inner:
        inner.pop()
        totals.pop()
    if not inner:
        return None
    totals.append(whole)
    told = [told_count(number, min_cell) for number in totals]
    edges = (max(inner[0] - 1, 0), *inner, min(inner[-1] + 1, NUM_EDGES))
    return MergedHistogram(edges, tuple(high - low for low, high in pairwise(told)))


def quantile_cuts(histograms: Sequence[MergedHistogram], num_bins: int) -> tuple[int, ...]:
    """The inner edges of `num_bins` quantile bins of the summed histograms.

    Each histogram is read as a piecewise linear distribution over grid bins; their sum is
    inverted at i / num_bins and rounded to a grid edge.

    Returns:
        Rising grid edges, fewer than `num_bins - 1` where a value is frequent. A grid bin b
        belongs to quantile bin `number of cuts <= b`.
    """
    places = np.unique(np.concatenate([np.asarray(h.edges) for h in histograms]))
    cumulative = np.zeros(places.size)
    for histogram in histograms:
        heights = np.concatenate([[0], np.cumsum(histogram.counts)])
        cumulative += np.interp(places, histogram.edges, heights)
    targets = cumulative[-1] * np.arange(1, num_bins) / num_bins
    cuts = np.rint(np.interp(targets, cumulative, places)).astype(int)
    inside = cuts[(cuts > places[0]) & (cuts < places[-1])]
    return tuple(int(cut) for cut in np.unique(inside))
