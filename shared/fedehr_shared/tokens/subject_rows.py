"""`SubjectRows`: which rows of a chunk of events are whose."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Kind = TypeVar("_Kind", bound=np.generic)


@dataclass(frozen=True)
class SubjectRows:
    """Subject after subject, each with at least one row.

    Attributes:
        starts: `[subjects]`, the first row of each.
        lengths: `[subjects]`, its number of rows.
    """

    starts: NDArray[np.intp]
    lengths: NDArray[np.intp]

    @classmethod
    def of(cls, subject_ids: NDArray[np.int64]) -> "SubjectRows":
        """Of rows whose subjects stand together. `[rows]`."""
        is_start = np.empty(subject_ids.size, dtype=bool)
        is_start[:1] = True
        np.not_equal(subject_ids[1:], subject_ids[:-1], out=is_start[1:])
        starts = np.flatnonzero(is_start)
        return cls(starts, np.diff(starts, append=subject_ids.size))

    def spread(self, values: NDArray[_Kind]) -> NDArray[_Kind]:
        """Each subject's value at each of its rows. `[subjects]` to `[rows]`."""
        return np.repeat(values, self.lengths)

    def subjects_of(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """The number of the subject that each row belongs to. `[n]` to `[n]`."""
        return np.searchsorted(self.starts, rows, side="right") - 1
