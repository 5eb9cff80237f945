"""How many of a site's events the vocabulary knows, and at which step of the back-off."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.vocabulary.resolution import STEP_NAMES


@dataclass(frozen=True)
class BackOffShares:
    """Shares of all events; None where the share rests on fewer subjects than `min_cell`.

    What is withheld could be found by subtraction, together if not alone; so the next smallest
    share is withheld too until the withheld ones rest on `min_cell` subjects together.
    """

    exact: float | None
    ancestor: float | None
    bucket: float | None
    unknown: float | None


class BackOffCounts:
    """Events at each step, and subjects by the set of steps that they have events at.

    With the sets, how many distinct subjects any group of steps rests on is a sum, and nothing
    need be kept of the subjects themselves.
    """

    def __init__(self, steps: NDArray[np.int8], is_counted: NDArray[np.bool_]) -> None:
        """Begin at nothing.

        Args:
            steps: `[codes]`, each code's step.
            is_counted: `[codes]`, False for codes whose events do not count.
        """
        self._bit_of_code = np.where(is_counted, np.left_shift(1, steps), 0).astype(np.uint8)
        self._num_events = np.zeros(1 << len(STEP_NAMES), dtype=np.int64)
        self._num_subjects = np.zeros(1 << len(STEP_NAMES), dtype=np.int64)

    def add(self, code_rows: NDArray[np.intp], starts: NDArray[np.intp]) -> None:
        """Count whole subjects.

        Args:
            code_rows: `[events]`, the code of each.
            starts: `[subjects]`, rising from 0: where each subject's events begin.
        """
        bits = self._bit_of_code.take(code_rows)
        self._num_events += np.bincount(bits, minlength=self._num_events.size)
        sets = np.bitwise_or.reduceat(bits, starts)
        self._num_subjects += np.bincount(sets, minlength=self._num_subjects.size)

    def shares(self, min_cell: int) -> BackOffShares:
        """Shares of the counted events at each step, withheld by the cell rule.

        Args:
            min_cell: a share that is not zero needs events of this many subjects.
        """
        steps = range(len(STEP_NAMES))
        num_events = [int(self._num_events[1 << step]) for step in steps]
        total = max(1, sum(num_events))
        hidden = {step for step in steps if 0 < self._num_subjects_at({step}) < min_cell}
        while 0 < self._num_subjects_at(hidden) < min_cell:
            rest = [step for step in steps if step not in hidden and num_events[step]]
            if not rest:
                break
            hidden.add(min(rest, key=lambda step: num_events[step]))
        told = [None if step in hidden else num_events[step] / total for step in steps]
        return BackOffShares(*told)

    def _num_subjects_at(self, steps: set[int]) -> int:
        """Subjects with an event at any of the steps."""
        wanted = sum(1 << step for step in steps)
        has_any = np.arange(self._num_subjects.size) & wanted != 0
        return int(self._num_subjects[has_any].sum())
