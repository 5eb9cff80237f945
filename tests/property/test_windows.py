"""Windows and batches against slow loops that are easy to believe."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.tokens.back_off import BackOffShares
from fedehr_shared.tokens.batch import MAX_VISITS, NUM_SEXES
from fedehr_shared.tokens.collate import collate, episodes
from fedehr_shared.tokens.store import HOURS_PER_YEAR, TokenStore
from fedehr_shared.tokens.windows import Window, Windows, epoch_windows, windows_before
from fedehr_shared.vocabulary.vocabulary import START

HOUR = 3_600_000_000


@st.composite
def stores(draw: st.DrawFn, max_events: int = 25) -> TokenStore:
    """A few subjects, any of them without events, with stays, days and unknown births."""
    lengths = draw(st.lists(st.integers(0, max_events), min_size=1, max_size=5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    size, subjects = sum(lengths), len(lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    begins = generator.integers(-(10**15), 2 * 10**15, subjects)
    times = np.empty(size, dtype=np.int64)
    hours = np.empty(size, dtype=np.float32)
    for row, (begin, end) in enumerate(pairwise(offsets.tolist())):
        steps = generator.choice([0, 1, 5, 11, 24, 500], end - begin)
        steps[:1] = 0
        hours[begin:end] = np.cumsum(steps)
        times[begin:end] = begins[row] + np.cumsum(steps) * HOUR
    first_ages = generator.choice([np.nan, 0.0, 40.0, 99.0], subjects)
    return TokenStore(
        tokens=generator.integers(1, 90, size).astype(np.int32),
        times=times,
        hours=hours,
        visits=generator.integers(0, draw(st.integers(1, 12)), size).astype(np.int32),
        offsets=offsets,
        subject_ids=generator.permutation(subjects).astype(np.int64),
        first_ages=first_ages.astype(np.float32),
        sexes=generator.integers(0, NUM_SEXES, subjects).astype(np.uint8),
        back_off=BackOffShares(1.0, 0.0, 0.0, 0.0),
    )


def _some_windows(store: TokenStore, seed: int) -> list[Window]:
    generator = np.random.default_rng(seed)
    windows = [Window(0, 0)]
    for row in generator.integers(0, store.num_subjects, 4).tolist():
        ends = generator.integers(store.offsets[row], int(store.offsets[row + 1]) + 1, 2)
        windows.append(Window(int(ends.min()), int(ends.max())))
    return windows


@settings(deadline=None, max_examples=200)
@given(store=stores(), context=st.integers(2, 12), data=st.data())
def test_a_window_before_a_time_is_inclusive_and_the_latest(
    store: TokenStore, context: int, data: st.DataObject
) -> None:
    rows, times = [], []
    for row in range(store.num_subjects):
        own = store.times[store.offsets[row] : store.offsets[row + 1]].tolist()
        near = [time + off for time in own for off in (-1, 0, 1)]
        rows += [row, -1]
        times += [data.draw(st.sampled_from(near or [0])), 5]
    found = windows_before(store, np.asarray(rows), np.asarray(times), context)
    for row, time, window in zip(rows, times, found, strict=True):
        if row < 0:
            assert window == Window(0, 0)
            continue
        own_places = range(int(store.offsets[row]), int(store.offsets[row + 1]))
        known = [place for place in own_places if store.times[place] <= time]
        assert list(range(window.begin, window.end)) == known[-(context - 1) :]


@settings(deadline=None, max_examples=200)
@given(store=stores(60), context=st.integers(2, 30), epoch=st.integers(0, 50))
def test_epochs_in_a_row_show_every_event_and_never_more_than_the_context(
    store: TokenStore, context: int, epoch: int
) -> None:
    rows = np.arange(store.num_subjects)
    lengths = np.diff(store.offsets)
    num_epochs = max(1, -(-int(lengths.max()) // (context - 1)))
    seen = np.zeros((num_epochs, store.tokens.size), dtype=bool)
    for number in range(num_epochs):
        windows = epoch_windows(store, rows, context, epoch + number)
        for row, window in zip(rows, windows, strict=True):
            assert store.offsets[row] <= window.begin
            assert window.end <= store.offsets[row + 1]
            assert window.end - window.begin == min(context - 1, lengths[row])
            seen[number, window.begin : window.end] = True
    for row in rows:
        needed = max(1, -(-int(lengths[row]) // (context - 1)))
        own = seen[:needed, store.offsets[row] : store.offsets[row + 1]]
        assert own.any(axis=0).all()


@settings(deadline=None, max_examples=200)
@given(store=stores(), seed=st.integers(0, 2**32))
def test_a_batch_is_its_windows_end_to_end(store: TokenStore, seed: int) -> None:
    windows = _some_windows(store, seed)
    batch = collate(store, Windows.of(windows))
    assert batch.num_sequences == len(windows)
    assert batch.cu_seqlens.tolist()[0] == 0
    for number, window in enumerate(windows):
        begin, end = batch.cu_seqlens[number : number + 2].tolist()
        inside = slice(window.begin, window.end)
        assert batch.tokens[begin:end].tolist() == [START, *store.tokens[inside].tolist()]
        times = store.times[inside]
        hours = [0.0, *((times - times[:1]) / HOUR).tolist()]
        assert batch.hours[begin:end].tolist() == pytest.approx(hours)
        ages = [0.0]
        for place in range(window.begin, window.end):
            row = next(
                r for r in range(store.num_subjects)
                if store.offsets[r] <= place < store.offsets[r + 1]
            )  # fmt: skip
            years = float(store.first_ages[row]) + float(store.hours[place]) / HOURS_PER_YEAR
            ages.append(0.0 if np.isnan(years) else years / 100)
        assert batch.ages[begin:end].tolist() == pytest.approx(ages, rel=1e-5, abs=1e-9)
        visits = [0, *(min(v, MAX_VISITS - 1) for v in store.visits[inside].tolist())]
        assert batch.visits[begin:end].tolist() == visits
        # At [START] too, and wherever in the record the window begins; an empty one tells none.
        owners = [
            int(store.sexes[row]) for row in range(store.num_subjects)
            if store.offsets[row] <= window.begin < window.end <= store.offsets[row + 1]
        ]  # fmt: skip
        assert batch.sexes[begin:end].tolist() == (owners or [0]) * (end - begin)
    assert batch.sexes.dtype == torch.int64
    assert batch.boundaries == batch.cu_seqlens.tolist()
    assert batch.tokens.dtype == batch.visits.dtype == batch.cu_seqlens.dtype == torch.int64
    assert batch.hours.dtype == batch.ages.dtype == torch.float32


@settings(deadline=None, max_examples=200)
@given(store=stores(), seed=st.integers(0, 2**32))
def test_events_share_an_episode_in_one_stay_or_one_day(store: TokenStore, seed: int) -> None:
    windows = _some_windows(store, seed)
    numbers = episodes(store, Windows.of(windows))
    at = 0
    for window in windows:
        assert numbers[at] == 0
        at += 1
        own = numbers[at : at + window.end - window.begin].tolist()
        at += len(own)
        visits = store.visits[window.begin : window.end].tolist()
        days = np.asarray(store.times[window.begin : window.end], dtype="datetime64[us]").astype(
            "datetime64[D]"
        )
        for i, one in enumerate(own):
            assert one != 0
            for j, other in enumerate(own):
                both_out = visits[i] == visits[j] == 0
                together = days[i] == days[j] if both_out else visits[i] == visits[j]
                assert (one == other) == together
    assert at == numbers.size


def test_a_batch_of_empty_windows_is_their_starts() -> None:
    """A subject without events still has a score: an evaluation may hold such alone."""
    empty = np.empty(0)
    store = TokenStore(
        empty.astype(np.int32), empty.astype(np.int64), empty.astype(np.float32),
        empty.astype(np.int32), np.zeros(1, np.int64), empty.astype(np.int64),
        empty.astype(np.float32), empty.astype(np.uint8), BackOffShares(1.0, 0.0, 0.0, 0.0),
    )  # fmt: skip
    batch = collate(store, Windows.of([Window(0, 0)] * 2))
    assert batch.tokens.tolist() == [START, START]
    assert batch.cu_seqlens.tolist() == [0, 1, 2]
    assert not any(x.any() for x in (batch.hours, batch.ages, batch.visits, batch.sexes))


def test_windows_are_picked_by_number_slice_and_array() -> None:
    windows = Windows.of([Window(0, 2), Window(5, 9), Window(9, 9)])
    assert windows[1] == Window(5, 9)
    assert list(windows[1:]) == [Window(5, 9), Window(9, 9)]
    assert list(windows[np.asarray([2, 0, 2])]) == [Window(9, 9), Window(0, 2), Window(9, 9)]
    assert windows.cu_seqlens.tolist() == [0, 3, 8, 9]
