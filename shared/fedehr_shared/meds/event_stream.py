"""A site's events as a stream of whole subjects, in bounded memory."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.errors import DataError
from fedehr_shared.meds.code_table import CodeTable
from fedehr_shared.meds.event_shard import CodeIndex, read_shard
from fedehr_shared.meds.events import Events, join_events
from fedehr_shared.meds.folder import SiteFolder

CHUNK_ROWS = 131_072


def stream_events(
    site: SiteFolder, codes: CodeTable, *, num_rows: int = CHUNK_ROWS
) -> Iterator[Events]:
    """Read a site's events, whole subjects at a time, in the order of the files.

    Memory is bounded by `num_rows` or the largest subject, whichever is more, and 8 bytes a
    subject.

    Args:
        site: its records.
        codes: the site's codes; `Events.code_indices` are its rows.
        num_rows: events a chunk, about; a chunk ends where a subject does.

    Raises:
        DataError: there is no event; a shard is damaged, lacks a column or is not sorted by
            subject and time, holds a code that `codes` lacks; or a subject's events lie apart.
    """
    open_subjects = _OpenSubjects()
    subjects = _SubjectsSeen(site.name)
    index = CodeIndex(codes)
    for file in site.data_files:
        order = _ShardOrder(str(file))
        for part in read_shard(file, codes, index, num_rows):
            starts = order.starts_of(part)
            subjects.add(part.subject_ids[starts])
            open_subjects.add(part, starts)
            if open_subjects.num_closed and len(open_subjects) >= num_rows:
                yield open_subjects.take_closed()
        # The next shard's first subject is another one, whatever its number.
        open_subjects.close()
    subjects.check()
    if len(open_subjects):
        yield open_subjects.take_closed()


class _ShardOrder:
    """Checks that one shard's events are sorted by time within each subject."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._last: tuple[int, int] | None = None

    def starts_of(self, part: Events) -> NDArray[np.intp]:
        """The rows at which another subject begins than in the row before.

        Raises:
            DataError: a time lies before the one above it.
        """
        ids, times = part.subject_ids, part.times
        is_start = np.empty(len(part), dtype=bool)
        np.not_equal(ids[1:], ids[:-1], out=is_start[1:])
        first = (int(ids[0]), int(times[0]))
        is_start[0] = self._last is None or self._last[0] != first[0]
        backwards = np.any((times[1:] < times[:-1]) & ~is_start[1:])
        if backwards or (self._last is not None and not is_start[0] and first < self._last):
            raise DataError(
                f"the events of {self._file} are not sorted by subject and time. Import the "
                "records again."
            )
        self._last = (int(ids[-1]), int(times[-1]))
        return np.flatnonzero(is_start)


class _SubjectsSeen:
    """Checks that each subject's events stand together."""

    def __init__(self, site: str) -> None:
        self._site = site
        self._subject_ids: list[NDArray[np.int64]] = []

    def add(self, subject_ids: NDArray[np.int64]) -> None:
        """Note the subjects whose events begin. Shape: `[subjects]`."""
        self._subject_ids.append(subject_ids.copy())

    def check(self) -> None:
        """Raise DataError when a subject was noted twice, or none at all."""
        subject_ids = np.concatenate([np.empty(0, np.int64), *self._subject_ids])
        if subject_ids.size == 0:
            raise DataError(f"site '{self._site}' has no events. Import its records again.")
        if np.all(subject_ids[1:] > subject_ids[:-1]):
            return
        subject_ids.sort()
        if np.any(subject_ids[1:] == subject_ids[:-1]):
            raise DataError(
                f"the events of site '{self._site}' are not sorted by subject and time, or a "
                "subject lies in two shards. Import them again."
            )


class _OpenSubjects:
    """Events read and not yet handed out; the last subject may go on in the next part."""

    def __init__(self) -> None:
        self._parts: list[Events] = []
        self._num_rows = 0
        self.num_closed = 0

    def __len__(self) -> int:
        return self._num_rows

    def add(self, part: Events, starts: NDArray[np.intp]) -> None:
        """Append a part; its last start closes every subject above."""
        if starts.size:
            self.num_closed = self._num_rows + int(starts[-1])
        self._parts.append(part)
        self._num_rows += len(part)

    def close(self) -> None:
        """The last subject is whole."""
        self.num_closed = self._num_rows

    def take_closed(self) -> Events:
        """The whole subjects' events; only the open one's stay."""
        events = join_events(self._parts)
        closed = events.rows(0, self.num_closed)
        rest = events.rows(self.num_closed, self._num_rows)
        self._parts = [rest] if len(rest) else []
        self._num_rows, self.num_closed = len(rest), 0
        return closed
