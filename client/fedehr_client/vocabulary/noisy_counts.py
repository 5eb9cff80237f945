"""Counts under differential privacy: each subject counts at a bounded number of codes.

A subject counts at its codes and at every code above them, `max_codes_per_subject` of these at
most, chosen at random where there are more. Which codes roll up would depend on the counts;
counting at every ancestor does not, so that the noise covers all of it.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fedehr_client.vocabulary.histograms import FirstValues
from fedehr_client.vocabulary.noise import NoiseBounds
from fedehr_client.vocabulary.noisy_histogram import noisy_histogram
from fedehr_client.vocabulary.subjects import SubjectCodes
from fedehr_client.vocabulary.tree import CodeTree
from fedehr_shared.privacy.system_noise import NoiseSource
from fedehr_shared.vocabulary.histogram import MergedHistogram


class BoundedCounts:
    """Subjects a row of the tree, each at `max_codes_per_subject` rows at most.

    Attributes:
        num_subjects: training subjects with an event.
        by_row: distinct subjects that have the row's code or one below it. `[rows]`
        first_values: of the codes at which a subject counts.
    """

    def __init__(self, tree: CodeTree, max_codes_per_subject: int, noise: NoiseSource) -> None:
        self.num_subjects = 0
        self.by_row = np.zeros(len(tree.names), dtype=np.int64)
        self.first_values = FirstValues()
        self._tree = tree
        self._most = max_codes_per_subject
        self._noise = noise

    def add_all(self, chunks: Iterable[SubjectCodes]) -> "BoundedCounts":
        """Count every chunk; no subject may stand in two."""
        for chunk in chunks:
            self._add(chunk)
        return self

    def _add(self, chunk: SubjectCodes) -> None:
        num_rows = max(1, self.by_row.size)
        self.num_subjects += chunk.subject_ids.size
        keys = self._chosen(np.unique(self._with_ancestors(chunk)), num_rows)
        self.by_row += np.bincount(keys % num_rows, minlength=self.by_row.size)
        valued = np.isin(chunk.valued_subjects * num_rows + chunk.valued_codes, keys)
        self.first_values.add(chunk.valued_codes[valued], chunk.places[valued])

    def _with_ancestors(self, chunk: SubjectCodes) -> NDArray[np.int64]:
        """(subject, row) as one integer, for each code's row and all above it; some twice."""
        starts, members = self._tree.closure
        sizes = np.diff(starts)[chunk.codes]
        begins = np.repeat(starts[chunk.codes] - (np.cumsum(sizes) - sizes), sizes)
        rows = members[begins + np.arange(begins.size)]
        return np.repeat(chunk.subjects, sizes) * max(1, self.by_row.size) + rows

    def _chosen(self, keys: NDArray[np.int64], num_rows: int) -> NDArray[np.int64]:
        """The keys at which subjects count."""
        subjects = keys // num_rows
        order = np.lexsort((self._noise.random(keys.size), subjects))
        starts = np.flatnonzero(np.diff(subjects, prepend=-1))
        places = np.arange(keys.size) - np.repeat(starts, np.diff(starts, append=keys.size))
        return keys[order[places < self._most]]


def name_codes(counts: BoundedCounts, threshold: float, bounds: NoiseBounds) -> dict[int, int]:
    """Noisy counts, by row of the tree, of the codes that may be named.

    Noise is drawn for every code that a subject has; the others stay unnamed whatever comes.
    """
    present = np.flatnonzero(counts.by_row)
    noisy = counts.by_row[present] + bounds.draw(present.size)
    # Rounded before it is compared, half a subject would be given to the threshold.
    named = noisy > threshold
    numbers = np.maximum(np.rint(noisy[named]), bounds.min_cell).astype(int).tolist()
    return dict(zip(present[named].tolist(), numbers, strict=True))


def noisy_histograms(
    tree: CodeTree, counts: BoundedCounts, named: Iterable[int], bounds: NoiseBounds
) -> dict[str, MergedHistogram]:
    """Noisy quantiles of the codes that were named.

    All of them are drawn, those without a value too: were they passed over, a histogram would
    show that somebody has a value, for sure, whom no delta counts.
    """
    values = counts.first_values.by_code()
    nothing = np.empty(0, dtype=np.int64)
    found: dict[str, MergedHistogram] = {}
    for row in named:
        histogram = noisy_histogram(*values.get(row, (nothing, nothing)), bounds)
        if histogram is not None:
            found[tree.names[row]] = histogram
    return found
