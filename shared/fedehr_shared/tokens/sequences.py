"""Building a `TokenStore` from events: ages, visits, and repeats left out."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.sequence import SequenceConfig
from fedehr_shared.meds.reader import NO_TIME, NO_VISIT, Events
from fedehr_shared.meds.schema import BIRTH_CODE
from fedehr_shared.tokens.back_off import back_off_shares
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.tokens.tokenizer import tokenize
from fedehr_shared.vocabulary.vocabulary import Vocabulary

MICROSECONDS_PER_HOUR = 3_600_000_000
_MICROSECONDS_PER_YEAR = 365.25 * 24 * MICROSECONDS_PER_HOUR


def build_store(
    events: Events,
    vocabulary: Vocabulary,
    parents: Mapping[str, str],
    sequence: SequenceConfig,
    min_cell: int,
) -> TokenStore:
    """Tokenize a site's events into flat arrays; the order of events stays.

    Args:
        events: sorted by subject and time.
        vocabulary: the federation's.
        parents: the site's own parents of its codes.
        sequence: whether repeats are left out.
        min_cell: for the back-off shares.
    """
    tokenized = tokenize(events, vocabulary, parents)
    keep = tokenized.keep.copy()
    shares = back_off_shares(tokenized.steps[keep], events.subject_ids[keep], min_cell)
    times = _filled_times(events, tokenized.keep)
    visits = _visit_ordinals(events)
    if sequence.skip_repeats:
        keep &= ~_is_repeat(events, tokenized.tokens, visits)
    subject_ids, starts = np.unique(events.subject_ids[keep], return_index=True)
    firsts = np.repeat(times[keep][starts], np.diff(np.append(starts, int(keep.sum()))))
    return TokenStore(
        tokens=tokenized.tokens[keep],
        times=times[keep],
        hours=((times[keep] - firsts) / MICROSECONDS_PER_HOUR).astype(np.float32),
        visits=visits[keep],
        offsets=np.append(starts, int(keep.sum())).astype(np.int64),
        subject_ids=subject_ids,
        first_ages=_ages(events, times)[keep][starts],
        back_off=shares,
    )


def _filled_times(events: Events, keep: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Static events get the time of the subject's first timed event (0 where there is none)."""
    _, subject = np.unique(events.subject_ids, return_inverse=True)
    timed = keep & (events.times != NO_TIME)
    latest = np.iinfo(np.int64).max
    first = np.full(int(subject.max()) + 1, latest, dtype=np.int64)
    np.minimum.at(first, subject[timed], events.times[timed])
    first[first == latest] = 0
    return np.where(events.times == NO_TIME, first[subject], events.times)


def _ages(events: Events, times: NDArray[np.int64]) -> NDArray[np.float32]:
    """Years since birth at each event, NaN where the birth is unknown."""
    _, subject = np.unique(events.subject_ids, return_inverse=True)
    is_birth = np.asarray([code == BIRTH_CODE for code in events.codes])[events.code_indices]
    births = np.full(int(subject.max()) + 1, np.nan)
    births[subject[is_birth]] = events.times[is_birth]
    years = (times - births[subject]) / _MICROSECONDS_PER_YEAR
    return np.asarray(years, dtype=np.float32)


def _visit_ordinals(events: Events) -> NDArray[np.int32]:
    """1 for a subject's first hospital stay, 2 for its second; 0 outside a stay."""
    ordinals = np.zeros(len(events), dtype=np.int32)
    rows = np.flatnonzero(events.visit_ids != NO_VISIT)
    if rows.size == 0:
        return ordinals
    pairs = np.stack([events.subject_ids[rows], events.visit_ids[rows]])
    _, first, inverse = np.unique(pairs, axis=1, return_index=True, return_inverse=True)
    # Order of first appearance over all pairs, then counted anew within each subject.
    order = np.argsort(first, kind="stable")
    subjects = pairs[0][first[order]]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(subjects)) + 1])
    run = np.arange(order.size) - np.repeat(starts, np.diff(np.append(starts, order.size)))
    by_pair = np.empty(order.size, dtype=np.int32)
    by_pair[order] = run + 1
    ordinals[rows] = by_pair[inverse.reshape(-1)]
    return ordinals


def _is_repeat(
    events: Events, tokens: NDArray[np.int32], visits: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """True where a valued code repeats its previous token within the subject's visit."""
    order = np.lexsort((np.arange(len(events)), events.code_indices, visits, events.subject_ids))
    columns = (events.subject_ids, visits, events.code_indices, tokens)
    same = np.ones(max(0, len(events) - 1), dtype=bool)
    for column in columns:
        same &= column[order][1:] == column[order][:-1]
    repeat = np.zeros(len(events), dtype=bool)
    repeat[order[1:]] = same
    return repeat & ~np.isnan(events.values)
