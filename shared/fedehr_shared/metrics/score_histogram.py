"""Histograms of scores that may leave a site: every bin holds `min_cell` subjects or more.

Positives and negatives have one each. Scores are placed on a fixed grid of log-odds, public and
the same for all; the histogram cuts the ordered subjects of one class into runs of equal
length, and tells between which grid cells each run ends, each run's mean place and its deviation.

A site tells the class's number rounded down to a multiple of `min_cell`. The number of runs
follows from it, and each run is long enough, so that nothing else is counted; how long each is
follows from the true number, of which `min_cell` values are left open.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.cells import MOST_MIN_CELL, told_count
from fedehr_shared.metrics.recalibration import MOST_LOG_ODDS, log_odds

Floats = NDArray[np.float64]

CELLS_PER_LOG_ODD = 1_024
NUM_CELLS = int(2 * MOST_LOG_ODDS * CELLS_PER_LOG_ODD)
MOST_BINS = 1_024
"""Of a class at a site; larger sites have larger bins."""
MOST_SUBJECTS = 10**10
"""More than there are people: what is reckoned with a told count stays exact."""


@dataclass(frozen=True)
class ScoreHistogram:
    """One class's scores at one site, as told.

    Attributes:
        num: how many there are, rounded down to a multiple of `min_cell`.
        min_cell: the site's.
        edges: between each two neighbouring bins, in half cells: twice the number of a
            boundary, or where equal places meet, twice the cell's number and one.
        means: of each bin's places, in cells, rounded.
        deviations: root of the mean squared distance from there, in cells, rounded up.
    """

    num: int
    min_cell: int
    edges: tuple[int, ...]
    means: tuple[int, ...]
    deviations: tuple[int, ...]

    @classmethod
    def of(cls, scores: Floats, min_cell: int) -> "ScoreHistogram":
        """The histogram of some probabilities, `[n]` with n at least `min_cell`."""
        ordered = np.sort(places_of(scores))
        num_bins = num_bins_of(ordered.size, min_cell)
        begins = np.arange(num_bins + 1) * ordered.size // num_bins
        last, first = (np.floor(ordered[begins[1:-1] - k]).astype(np.int64) for k in (1, 0))
        edges = np.where(last == first, 2 * first + 1, 2 * ((last + 1 + first) // 2))
        sizes = np.diff(begins)
        means = np.rint(np.add.reduceat(ordered, begins[:-1]) / sizes)
        squares = np.add.reduceat((ordered - np.repeat(means, sizes)) ** 2, begins[:-1])
        return cls(
            num=told_count(ordered.size, min_cell),
            min_cell=min_cell,
            edges=tuple(edges.tolist()),
            means=tuple(means.astype(np.int64).tolist()),
            deviations=tuple(np.ceil(np.sqrt(squares / sizes)).astype(np.int64).tolist()),
        )

    @cached_property
    def lows(self) -> Floats:
        """No place of a bin is below. `[bins]`."""
        return np.asarray([0, *(edge // 2 for edge in self.edges)], dtype=np.float64)

    @cached_property
    def highs(self) -> Floats:
        """All places of a bin are below. `[bins]`."""
        return np.asarray([*(-(-edge // 2) for edge in self.edges), NUM_CELLS], dtype=np.float64)

    @cached_property
    def sizes(self) -> Floats:
        """Subjects in each bin, for each number that there may be. `[min_cell, bins]`."""
        nums = self.num + np.arange(self.min_cell)
        ends = np.arange(len(self.means) + 1)[None, :] * nums[:, None] // len(self.means)
        return np.diff(ends, axis=1).astype(np.float64)

    @property
    def most(self) -> int:
        """The greatest number that there may be."""
        return self.num + self.min_cell - 1

    def fault(self) -> str:
        """Why it cannot be a histogram that a site made; empty where it can."""
        if not 1 <= self.min_cell <= MOST_MIN_CELL:
            return "a min_cell that no site has"
        if not self.min_cell <= self.num <= MOST_SUBJECTS or self.num % self.min_cell:
            return "a count that is no multiple of min_cell, or of more people than there are"
        num_bins = num_bins_of(self.num, self.min_cell)
        lengths = len(self.means), len(self.deviations), len(self.edges)
        if lengths != (num_bins, num_bins, num_bins - 1):
            return "another number of bins than its count allows"
        if any(not 0 < edge < 2 * NUM_CELLS for edge in self.edges):
            return "an edge outside the grid"
        means = np.asarray(self.means, dtype=np.float64)
        is_rising = (self.lows < self.highs).all() and (np.diff(self.lows) >= 0).all()
        is_inside = (self.lows <= means).all() and (means <= self.highs).all()
        if not is_rising or not is_inside:
            return "edges that do not rise, or a mean outside them"
        far = np.maximum(means - self.lows, self.highs - means)
        is_near = all(0 <= one <= most for one, most in zip(self.deviations, far, strict=True))
        return "" if is_near else "a deviation that its bin does not allow"


def places_of(scores: Floats) -> Floats:
    """Probabilities on the grid: `[n]` to `[n]`, from 0 to less than `NUM_CELLS`."""
    places = (log_odds(scores) + MOST_LOG_ODDS) * CELLS_PER_LOG_ODD
    return np.asarray(np.minimum(places, np.nextafter(NUM_CELLS, 0)))


def num_bins_of(num: int, min_cell: int) -> int:
    """How many bins a class of so many has; the same for its rounded number."""
    return max(1, min(MOST_BINS, num // min_cell))
