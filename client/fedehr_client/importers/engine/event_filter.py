"""`EventFilter`: what of the sorted events is written, and why the rest is not."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedehr_shared.meds.schema import DATA_SCHEMA
from fedehr_shared.meds.withdrawn import Withdrawn

_CODE = DATA_SCHEMA.get_field_index("code")
_VALUE = DATA_SCHEMA.get_field_index("numeric_value")


class EventFilter:
    """Takes events in order, a chunk at a time, and remembers the row before.

    Attributes:
        left_out: events dropped, by reason.
        num_not_finite: values that were infinite, NaN or beyond float32, and are null now.
        withdrawn_found: whether any subject was dropped as withdrawn.
    """

    def __init__(self, withdrawn: Withdrawn) -> None:
        self._withdrawn = withdrawn
        self._last: pa.Table | None = None
        self.left_out: Counter[str] = Counter()
        self.num_not_finite = 0
        self._last_withdrawn: int | None = None

    def apply(self, events: pa.Table) -> pa.Table:
        """The events of a chunk that stay, with finite values."""
        events = self._drop(events, "events_without_subject", pc.is_valid(events.column(0)))
        code = events.column("code")
        events = self._drop(events, "events_without_code", pc.not_equal(pc.fill_null(code, ""), ""))
        time = events.column("time").cast(pa.int64())
        endless = pc.is_in(time, pa.array([2**63 - 1, -(2**63) + 1]))
        events = self._drop(events, "events_with_endless_time", pc.invert(endless))
        if events.num_rows == 0:
            return events
        events = self._drop_duplicates(self._make_finite(events))
        return self._drop_withdrawn(events)

    def _drop(self, events: pa.Table, reason: str, stays: pa.ChunkedArray) -> pa.Table:
        num_dropped = events.num_rows - (pc.sum(stays).as_py() or 0)
        if num_dropped == 0:
            return events
        self.left_out[reason] += num_dropped
        return events.filter(stays)

    def _make_finite(self, events: pa.Table) -> pa.Table:
        value = events.column("numeric_value")
        is_nan = pc.is_nan(value)
        num = pc.sum(is_nan).as_py() or 0
        if num == 0:
            return events
        self.num_not_finite += num
        finite = pc.if_else(is_nan, pa.scalar(None, pa.float32()), value)
        return events.set_column(_VALUE, DATA_SCHEMA.field("numeric_value"), finite)

    def _drop_duplicates(self, events: pa.Table) -> pa.Table:
        with_last = pa.concat_tables([self._last, events]) if self._last else events
        self._last = events.slice(events.num_rows - 1)
        same = _equals_row_before(with_last.combine_chunks())
        stays = ~(same if with_last.num_rows > events.num_rows else np.append(False, same))
        return self._drop(events, "duplicate_events", pa.chunked_array([stays]))

    def _drop_withdrawn(self, events: pa.Table) -> pa.Table:
        if not len(self._withdrawn):
            return events
        ids = events.column("subject_id").to_numpy()
        subjects, places = np.unique(ids, return_inverse=True)
        withdrawn = self._withdrawn.mask(subjects)
        for subject in subjects[withdrawn].tolist():
            if subject != self._last_withdrawn:
                self.left_out["withdrawn_subjects"] += 1
                self._last_withdrawn = subject
        return events.filter(pa.array(~withdrawn[places]))


def _equals_row_before(events: pa.Table) -> NDArray[np.bool_]:
    """For each row but the first, whether it equals the one before; null equals null."""
    same = np.ones(max(events.num_rows - 1, 0), dtype=bool)
    for column in events.columns:
        whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        upper, lower = whole[:-1], whole[1:]
        both_null = pc.and_(pc.is_null(upper), pc.is_null(lower))
        equal = pc.or_(pc.fill_null(pc.equal(upper, lower), False), both_null)
        same &= equal.to_numpy(zero_copy_only=False)
    return same
