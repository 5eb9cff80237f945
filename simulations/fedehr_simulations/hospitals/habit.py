"""`HabitSampler`: which of a group's codes a site writes down, for many events at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedehr_simulations.hospitals.catalog import CodeGroup


class HabitSampler:
    """Draws codes from G groups by the habits of S sites.

    Args:
        groups: the groups; every one holds a popularity for each site.
    """

    def __init__(self, groups: Sequence[CodeGroup]) -> None:
        self.codes = np.array([code for group in groups for code in group.codes], dtype=object)
        self._num_sites = groups[0].popularity.shape[0]
        sizes = np.array([len(group.codes) for group in groups])
        self._offset = np.cumsum(sizes) - sizes
        self._width = int(sizes.max())
        # Row (group, site) holds its cumulative popularity plus the row's number, so that one
        # sorted search over the flat table draws for every event. Padding repeats the row's end.
        rows = [self._padded(group.popularity) for group in groups]
        cumulative = np.concatenate(rows)
        self._flat = (cumulative + np.arange(len(cumulative))[:, None]).ravel()

    def draw(
        self, group: NDArray[np.int64], site: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.object_]:
        """One code for each event of `group` [E] at `site` [E]."""
        row = group * self._num_sites + site
        # Kept below 1 so that no draw falls past its own row.
        position = np.minimum(rng.random(len(row)), 1.0 - 1e-9)
        place = np.searchsorted(self._flat, row + position, side="right") - row * self._width
        return np.asarray(self.codes[self._offset[group] + place], dtype=object)

    def _padded(self, popularity: NDArray[np.float64]) -> NDArray[np.float64]:
        cumulative = np.ones((popularity.shape[0], self._width))
        cumulative[:, : popularity.shape[1]] = np.cumsum(popularity, axis=1)
        # Exactly 1 from the last used code on: rounding must not open a gap.
        cumulative[cumulative > 1.0 - 1e-9] = 1.0
        return cumulative
