"""`Events`: rows of a MEDS dataset as flat arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_TIME = np.iinfo(np.int64).min
NO_VISIT = -1


@dataclass(frozen=True)
class Events:
    """Whole subjects' events, each subject's sorted by time, static events first.

    Attributes:
        subject_ids: `[events]` int64.
        times: `[events]` int64, microseconds since 1970; `NO_TIME` for static events.
        code_indices: `[events]` int32 into `codes`.
        values: `[events]` float32, NaN where there is none.
        visit_ids: `[events]` int64, `NO_VISIT` outside a hospital stay.
        codes: at least every code of the events.
    """

    subject_ids: NDArray[np.int64]
    times: NDArray[np.int64]
    code_indices: NDArray[np.int32]
    values: NDArray[np.float32]
    visit_ids: NDArray[np.int64]
    codes: tuple[str, ...]

    def __len__(self) -> int:
        """The number of events."""
        return int(self.subject_ids.size)

    def rows(self, begin: int, end: int) -> "Events":
        """The events `begin` to `end`, without copying."""
        inside = slice(begin, end)
        return Events(
            self.subject_ids[inside],
            self.times[inside],
            self.code_indices[inside],
            self.values[inside],
            self.visit_ids[inside],
            self.codes,
        )


def join_events(parts: Sequence[Events]) -> Events:
    """The events of one or more `parts` one after another; all name codes by one tuple."""
    if len(parts) == 1:
        return parts[0]
    return Events(
        np.concatenate([part.subject_ids for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.code_indices for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.visit_ids for part in parts]),
        parts[0].codes,
    )
