"""Building a `TokenStore` from a stream of events, in bounded memory."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.sequence import SequenceConfig
from fedehr_shared.meds.code_table import CodeTable
from fedehr_shared.meds.events import NO_TIME, Events
from fedehr_shared.meds.new_folder import new_folder
from fedehr_shared.tokens.back_off import BackOffCounts
from fedehr_shared.tokens.known_order import in_known_order
from fedehr_shared.tokens.repeats import repeat_rows
from fedehr_shared.tokens.sexes import SexCodes
from fedehr_shared.tokens.store_writer import Sequences, StoreWriter
from fedehr_shared.tokens.subject_rows import SubjectRows
from fedehr_shared.tokens.tokenizer import Tokenizer
from fedehr_shared.tokens.visit_ordinals import visit_ordinals
from fedehr_shared.vocabulary.vocabulary import Vocabulary

MICROSECONDS_PER_HOUR = 3_600_000_000
_MICROSECONDS_PER_YEAR = 365.25 * 24 * MICROSECONDS_PER_HOUR
NEVER = np.iinfo(np.int64).max
"""Later than any prediction."""


def build_store(
    chunks: Iterable[Events],
    codes: CodeTable,
    vocabulary: Vocabulary,
    sequence: SequenceConfig,
    *,
    min_cell: int,
    folder: Path,
    about: Mapping[str, str],
) -> None:
    """Tokenize a site's events into the store `folder`, which appears when it is complete.

    Memory is that of the largest chunk; an older store of the name is replaced at the end.

    Args:
        chunks: whole subjects each, as `stream_events` gives them.
        codes: what the chunks' code indices are rows of.
        vocabulary: the federation's.
        sequence: whether repeats are left out.
        min_cell: for the back-off shares.
        folder: the store's.
        about: what the store is made from; `TokenStore.load` compares it.

    Raises:
        DataError: what the chunks raise; or the folder cannot be written.
    """
    tokenizer = Tokenizer(codes, vocabulary)
    counts = BackOffCounts(tokenizer.steps, ~tokenizer.is_birth)
    builder = SequenceBuilder(codes, tokenizer, counts, sequence)
    with new_folder(folder, replace=True) as partial, StoreWriter(partial) as writer:
        for events in chunks:
            writer.append(builder.build(events))
        writer.finish(about, counts.shares(min_cell))


class SequenceBuilder:
    """Turns chunks of events into sequences, one chunk at a time."""

    def __init__(
        self,
        codes: CodeTable,
        tokenizer: Tokenizer,
        counts: BackOffCounts,
        sequence: SequenceConfig,
    ) -> None:
        self._tokenizer = tokenizer
        self._sex_codes = SexCodes(codes.codes)
        self._counts = counts
        self._skip_repeats = sequence.skip_repeats
        delays = np.rint(codes.delay_hours.astype(np.float64) * MICROSECONDS_PER_HOUR)
        self._delays = np.where(tokenizer.is_birth, 0, delays).astype(np.int64)

    def build(self, events: Events) -> Sequences:
        """The sequences of a chunk's subjects; one who has nothing but a birth has none.

        Static tokens come first; ordinals of stays, repeats and first times go by when events
        are known, so that what is not yet known leaves no trace in what is.
        """
        subjects = SubjectRows.of(events.subject_ids)
        events = in_known_order(events, self._delays, subjects)
        code_rows = events.code_indices.astype(np.intp)
        self._counts.add(code_rows, subjects.starts)
        valued = np.flatnonzero(~np.isnan(events.values))
        tokens = self._tokenizer.tokens_of(code_rows, events.values, valued)
        visits = visit_ordinals(events.visit_ids, subjects)
        is_birth = self._tokenizer.is_birth.take(code_rows)
        keep = ~is_birth
        if self._skip_repeats:
            segments = _segments(visits, subjects)
            keep[repeat_rows(tokens, code_rows, valued, segments)] = False
        static = np.flatnonzero(events.times == NO_TIME)
        first_times, first_ages = _first_times_and_ages(events.times, is_birth, static, subjects)
        rows = np.flatnonzero(keep)
        lengths = np.add.reduceat(keep, subjects.starts, dtype=np.int64)
        times = _filled_times(events.times.take(rows), first_times, lengths)
        hours = (times - np.repeat(first_times, lengths)) / MICROSECONDS_PER_HOUR
        held = np.flatnonzero(lengths)
        return Sequences(
            tokens=tokens.take(rows),
            times=times,
            hours=hours.astype(np.float32),
            visits=visits.take(rows),
            lengths=lengths[held],
            subject_ids=events.subject_ids[subjects.starts[held]],
            first_ages=first_ages[held],
            sexes=self._sex_codes.sexes_of(code_rows, static, subjects)[held],
        )


def _first_times_and_ages(
    times: NDArray[np.int64],
    is_birth: NDArray[np.bool_],
    static: NDArray[np.intp],
    subjects: SubjectRows,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """When each subject's first timed event but a birth is known, and the age then.

    `NEVER` where there is none: an input has static events only beside a timed one, or their
    presence would tell that nothing happened later either.

    A birth after that event is none: it would change an input that ends before it. The last of
    the others counts; without one, or without a timed event, the age is NaN.

    Shape: `[subjects]` each.
    """
    births = np.flatnonzero(is_birth)
    num_static = np.bincount(subjects.subjects_of(static), minlength=subjects.starts.size)
    firsts, ends = subjects.starts + num_static, subjects.starts + subjects.lengths
    # One more event, after the last, is no birth.
    is_birth = np.append(is_birth, False)
    while (passed := (firsts < ends) & is_birth.take(firsts)).any():
        firsts += passed
    has_any = firsts < ends
    first_times = np.where(has_any, times.take(firsts, mode="clip"), NEVER)
    whose = subjects.subjects_of(births)
    in_time = (times[births] != NO_TIME) & (times[births] <= first_times[whose])
    born = np.full(subjects.starts.size, np.nan)
    born[whose[in_time]] = times[births[in_time]]
    born[~has_any] = np.nan
    years = (first_times - born) / _MICROSECONDS_PER_YEAR
    return first_times, years.astype(np.float32)


def _filled_times(
    times: NDArray[np.int64], first_times: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The same array, static events with their subject's first time. `[events]`."""
    static = np.flatnonzero(times == NO_TIME)
    whose = np.searchsorted(np.cumsum(lengths), static, side="right")
    times[static] = first_times[whose]
    return times


def _segments(visits: NDArray[np.int32], subjects: SubjectRows) -> NDArray[np.intp]:
    """One number for each stay of a subject, and one for all that is outside. `[events]`."""
    num_segments = np.maximum.reduceat(visits, subjects.starts).astype(np.intp) + 1
    return subjects.spread(np.cumsum(num_segments) - num_segments) + visits
