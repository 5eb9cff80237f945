"""Quantiles of one code's values under differential privacy.

The grid's bins are leaves of a fixed tree (16 x 16 x 8 x 8), and each node's count gets noise of
its own (Hay et al. 2010, "Boosting the Accuracy of Differentially Private Histograms Through
Consistency", without the consistency step). A quantile is found by going down from the root. Noise
is drawn for the nodes that are visited, each once; the rest of the tree would change nothing.
A subject's first value moves one node a level, so one code's release is moved by
`sqrt(NUM_LEVELS)` (L2) at most.
"""

import numpy as np
from numpy.typing import NDArray

from fedehr_client.vocabulary.noise import NoiseBounds
from fedehr_shared.vocabulary.grid import NUM_EDGES
from fedehr_shared.vocabulary.histogram import MergedHistogram

_WIDTHS = (NUM_EDGES, 1_024, 64, 8, 1)
"""Grid bins a node, from the root down."""
NUM_LEVELS = len(_WIDTHS) - 1
_MAX_QUANTILES = 20
_LEAST_SIGMAS = 6
"""Of the whole: noise alone reaches it for fewer than one in fifty codes without values."""


class NoisyTree:
    """One code's noisy counts; asked twice, a node answers the same."""

    def __init__(
        self,
        places: NDArray[np.int64],
        sizes: NDArray[np.int64],
        bounds: NoiseBounds,
    ) -> None:
        self._places = places
        self._reached = np.concatenate([[0], np.cumsum(sizes)])
        self._bounds = bounds
        self._drawn: dict[tuple[int, int], NDArray[np.float64]] = {}

    def children(self, level: int, start: int) -> NDArray[np.float64]:
        """Noisy counts of the nodes below one; those within two sigma of nothing are nothing."""
        if (level, start) not in self._drawn:
            width = _WIDTHS[level + 1]
            edges = np.arange(start, start + _WIDTHS[level] + 1, width)
            exact = np.diff(self._reached[np.searchsorted(self._places, edges)])
            noisy = exact + self._bounds.draw(exact.size)
            self._drawn[level, start] = np.where(noisy > 2 * self._bounds.sigma, noisy, 0.0)
        return self._drawn[level, start]

    @property
    def total(self) -> float:
        """The noisy number of subjects with a value."""
        return float(self.children(0, 0).sum())

    def place_of(self, share: float) -> int:
        """The grid edge below which this share of the subjects lies, 0 to 1."""
        start = 0
        for level in range(NUM_LEVELS):
            counts = self.children(level, start)
            if not counts.any():
                return start + round(share * _WIDTHS[level])
            below = np.concatenate([[0.0], np.cumsum(counts)])
            wanted = share * below[-1]
            child = int(np.searchsorted(below[1:], wanted))
            child = min(child, int(np.flatnonzero(counts)[-1]))
            share = min(1.0, max(0.0, (wanted - below[child]) / counts[child]))
            start += child * _WIDTHS[level + 1]
        return start + round(share)


def noisy_histogram(
    places: NDArray[np.int64],
    sizes: NDArray[np.int64],
    bounds: NoiseBounds,
) -> MergedHistogram | None:
    """A histogram of equal shares between noisy quantiles.

    Args:
        places: the grid bins that hold a subject's first value, rising. `[bins]`
        sizes: how many subjects each holds. `[bins]`
        bounds: the noise, and the least number of subjects in a bin.

    Returns:
        None where the noise leaves no two bins.
    """
    tree = NoisyTree(places, sizes, bounds)
    least = max(bounds.min_cell, int(np.ceil(2 * bounds.sigma)))
    num_bins = min(_MAX_QUANTILES, int(tree.total) // least)
    if num_bins < 2 or tree.total < _LEAST_SIGMAS * bounds.sigma:
        return None
    share = int(tree.total) // num_bins
    cuts = [tree.place_of(number / num_bins) for number in range(1, num_bins)]
    inner, repeats = np.unique(np.clip(cuts, 1, NUM_EDGES - 1), return_counts=True)
    # Quantiles at one edge: the bin before it holds all their shares.
    counts = [int(repeat) * share for repeat in repeats] + [share]
    edges = (int(inner[0]) - 1, *inner.tolist(), int(inner[-1]) + 1)
    return MergedHistogram(edges, tuple(counts))
