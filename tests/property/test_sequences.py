"""Tokens, token stores and windows against slow loops that are easy to believe."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.config.sequence import SequenceConfig
from fedehr_shared.meds.reader import NO_TIME, NO_VISIT, Events
from fedehr_shared.meds.schema import BIRTH_CODE
from fedehr_shared.tokens.collate import collate
from fedehr_shared.tokens.sequences import build_store
from fedehr_shared.tokens.store import HOURS_PER_YEAR, TokenStore
from fedehr_shared.tokens.tokenizer import tokenize
from fedehr_shared.tokens.windows import windows_before
from fedehr_shared.vocabulary.grid import bin_of
from fedehr_shared.vocabulary.vocabulary import UNKNOWN, Vocabulary

HOUR = 3_600_000_000
CODES = (BIRTH_CODE, "HR", "LAB//a", "LAB//b", "DX//1", "DX//2", "ODD")
PARENTS = {"LAB//a": "LAB", "LAB//b": "LAB", "DX//2": "DX", "DX": "LAB"}
VOCABULARY = Vocabulary(
    ("DX//1", "HR", "LAB", "LAB//a"),
    (None, tuple(bin_of(np.asarray([60.0, 80.0, 100.0])).tolist()), None, ()),
)
FULL, BARE = SequenceConfig(skip_repeats=False), SequenceConfig(skip_repeats=True)


@st.composite
def site_events(draw: st.DrawFn) -> Events:
    """A few subjects with a birth or none, static events, stays, values and repeats."""
    rows: list[tuple[int, int, int, float, int]] = []
    ids = sorted(draw(st.sets(st.integers(-50, 10**12), min_size=1, max_size=4)))
    for subject in ids:
        if draw(st.booleans()):
            rows.append((subject, draw(st.integers(-(10**9), 10**9)) * 1_000_000, 0, np.nan, -1))
        own = draw(st.lists(st.tuples(
            st.none() | st.integers(0, 12), st.integers(1, len(CODES) - 1),
            st.sampled_from([np.nan, 55.0, 60.0, 75.0, 120.0]), st.integers(-1, 3),
        ), max_size=14))  # fmt: skip
        for hour, code, value, visit in own:
            when = NO_TIME if hour is None else 2_000_000_000_000_000 + hour * HOUR
            stay = NO_VISIT if hour is None or visit < 0 else visit + 100
            rows.append((subject, when, code, value, stay))
    if not any(code for _, _, code, _, _ in rows):
        rows.append((ids[0], 2_000_000_000_000_000, 1, 60.0, -1))
    rows.sort(key=lambda row: (row[0], row[1]))
    subjects, times, codes, values, visits = zip(*rows, strict=True)
    return Events(
        np.asarray(subjects, dtype=np.int64), np.asarray(times, dtype=np.int64),
        np.asarray(codes, dtype=np.int32), np.asarray(values, dtype=np.float32),
        np.asarray(visits, dtype=np.int64), CODES,
    )  # fmt: skip


def _token(code: str, value: float) -> int:
    at: str | None = code
    while at is not None and at not in VOCABULARY.codes:
        at = PARENTS.get(at)
    if at is None:
        return UNKNOWN
    cuts = VOCABULARY.cuts_of(at)
    name = at
    if at == code and cuts is not None and not np.isnan(value):
        place = int(bin_of(np.asarray([value]))[0])
        name = f"{at}//Q{1 + sum(1 for cut in cuts if cut <= place)}"
    return VOCABULARY.names.index(name)


def _slow_store(events: Events, skip_repeats: bool) -> dict[int, list[tuple[int, int, float, int]]]:
    """By subject: token, time, age in years, ordinal of the stay."""
    subjects: dict[int, list[tuple[int, int, float, int]]] = {}
    for subject in sorted(set(events.subject_ids.tolist())):
        mine = np.flatnonzero(events.subject_ids == subject)
        timed = [
            int(events.times[i])
            for i in mine
            if events.times[i] != NO_TIME and events.codes[events.code_indices[i]] != BIRTH_CODE
        ]
        first = min(timed) if timed else 0
        birth: int | None = None
        for i in mine:
            if events.codes[events.code_indices[i]] == BIRTH_CODE:
                birth = int(events.times[i])
        stays: list[int] = []
        latest: dict[tuple[int, str], int] = {}
        tokens = []
        for i in mine:
            code, value = events.codes[events.code_indices[i]], float(events.values[i])
            stay = int(events.visit_ids[i])
            if stay != NO_VISIT and stay not in stays:
                stays.append(stay)
            ordinal = 0 if stay == NO_VISIT else stays.index(stay) + 1
            if code == BIRTH_CODE:
                continue
            token = _token(code, value)
            repeats = latest.get((ordinal, code)) == token and not np.isnan(value)
            latest[ordinal, code] = token
            if skip_repeats and repeats:
                continue
            when = first if events.times[i] == NO_TIME else int(events.times[i])
            age = np.nan if birth is None else (when - birth) / (365.25 * 24 * HOUR)
            tokens.append((token, when, age, ordinal))
        if tokens:
            subjects[subject] = tokens
    return subjects


@settings(deadline=None, max_examples=200)
@given(events=site_events())
def test_tokens_are_those_of_the_slow_reference(events: Events) -> None:
    found = tokenize(events, VOCABULARY, PARENTS)
    codes = [events.codes[i] for i in events.code_indices]
    expected = [_token(c, float(v)) for c, v in zip(codes, events.values, strict=True)]
    kept = [code != BIRTH_CODE for code in codes]
    assert found.keep.tolist() == kept
    assert found.tokens[kept].tolist() == np.asarray(expected)[kept].tolist()


@settings(deadline=None, max_examples=200)
@given(events=site_events(), config=st.sampled_from([FULL, BARE]))
def test_the_store_is_that_of_the_slow_reference(events: Events, config: SequenceConfig) -> None:
    store = build_store(events, VOCABULARY, PARENTS, config, min_cell=2)
    expected = _slow_store(events, config.skip_repeats)
    assert store.subject_ids.tolist() == list(expected)
    for row, tokens in enumerate(expected.values()):
        begin, end = int(store.offsets[row]), int(store.offsets[row + 1])
        assert store.tokens[begin:end].tolist() == [t for t, _, _, _ in tokens]
        assert store.times[begin:end].tolist() == [w for _, w, _, _ in tokens]
        assert store.visits[begin:end].tolist() == [v for _, _, _, v in tokens]
        ages = np.asarray([a for _, _, a, _ in tokens])
        found = store.first_ages[row] + store.hours[begin:end] / HOURS_PER_YEAR
        assert found == pytest.approx(ages, rel=1e-5, nan_ok=True)


@settings(deadline=None, max_examples=200)
@given(
    events=site_events(),
    config=st.sampled_from([FULL, BARE]),
    hour=st.integers(-1, 13),
    context=st.integers(2, 12),
    data=st.data(),
)
def test_what_happens_after_the_prediction_changes_no_input(
    events: Events, config: SequenceConfig, hour: int, context: int, data: st.DataObject
) -> None:
    at = 2_000_000_000_000_000 + hour * HOUR
    later = np.flatnonzero(events.times > at)
    times, codes, values = events.times.copy(), events.code_indices.copy(), events.values.copy()
    for row in later:
        times[row] = at + data.draw(st.integers(1, 10**6))
        codes[row] = data.draw(st.integers(1, len(CODES) - 1))
        values[row] = data.draw(st.sampled_from([np.nan, 61.0, 500.0]))
    order = np.lexsort((times, events.subject_ids))
    changed = Events(
        events.subject_ids[order], times[order], codes[order], values[order],
        events.visit_ids[order], events.codes,
    )  # fmt: skip
    assert _inputs(events, config, at, context) == _inputs(changed, config, at, context)


def _inputs(events: Events, config: SequenceConfig, at: int, context: int) -> object:
    store = build_store(events, VOCABULARY, PARENTS, config, min_cell=2)
    found = {}
    for row, subject in enumerate(store.subject_ids.tolist()):
        windows = windows_before(store, np.asarray([row]), np.asarray([at]), context)
        (window,) = windows
        assert window.end - window.begin < context
        assert np.all(store.times[window.begin : window.end] <= at)
        batch = collate(store, windows)
        if window.end > window.begin:
            found[subject] = [
                x.tolist() for x in (batch.tokens, batch.hours, batch.ages, batch.visits)
            ]
    return found


@settings(deadline=None, max_examples=100)
@given(events=site_events(), asked=st.lists(st.integers(-60, 60)))
def test_rows_of_finds_subjects_and_says_who_is_unknown(events: Events, asked: list[int]) -> None:
    store = build_store(events, VOCABULARY, PARENTS, FULL, min_cell=2)
    ids = np.asarray([*asked, *store.subject_ids.tolist()], dtype=np.int64)
    expected = [
        store.subject_ids.tolist().index(s) if s in store.subject_ids else -1 for s in ids.tolist()
    ]
    assert store.rows_of(ids).tolist() == expected


@settings(deadline=None, max_examples=30)
@given(events=site_events())
def test_a_store_comes_back_from_disk(
    events: Events, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = build_store(events, VOCABULARY, PARENTS, FULL, min_cell=2)
    folder = tmp_path_factory.mktemp("store") / "tokens"
    store.save(folder, {"vocabulary": "v"})
    again = TokenStore.load(folder, {"vocabulary": "v"})
    assert again is not None
    for name in ("tokens", "times", "hours", "visits", "offsets", "subject_ids", "first_ages"):
        np.testing.assert_array_equal(getattr(again, name), getattr(store, name))
    assert again.back_off == store.back_off
    assert TokenStore.load(folder, {"vocabulary": "other"}) is None
    replace(store, tokens=store.tokens + 1).save(folder, {"vocabulary": "w"})
    assert TokenStore.load(folder, {"vocabulary": "v"}) is None
    assert [f.name for f in folder.parent.iterdir()] == ["tokens"]
