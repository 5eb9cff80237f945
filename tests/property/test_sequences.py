"""Tokens and token stores against slow loops that are easy to believe."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedehr_shared.config.sequence import SequenceConfig
from fedehr_shared.meds.code_table import CodeTable
from fedehr_shared.meds.events import NO_TIME, NO_VISIT, Events
from fedehr_shared.meds.schema import BIRTH_CODE
from fedehr_shared.tokens.back_off import BackOffCounts
from fedehr_shared.tokens.collate import collate
from fedehr_shared.tokens.cut_values import CutTable, cut_values
from fedehr_shared.tokens.sequences import SequenceBuilder, build_store
from fedehr_shared.tokens.sexes import sex_of_code
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.tokens.store_manifest import DTYPES
from fedehr_shared.tokens.tokenizer import Tokenizer
from fedehr_shared.tokens.windows import windows_before
from fedehr_shared.vocabulary.grid import NUM_EDGES, bin_of
from fedehr_shared.vocabulary.resolution import EXACT
from fedehr_shared.vocabulary.vocabulary import Vocabulary

HOUR = 3_600_000_000
START_TIME = 2_000_000_000_000_000
SEX_OF = {"SEX//F": 1, "gender/MALE": 2, "Sex//x": 3, "SEX//U": 0}
NAMES = (BIRTH_CODE, "HR", "LAB//a", "LAB//b", "DX//1", "DX//2", "ODD", *SEX_OF)
CODES = CodeTable(
    codes=NAMES,
    descriptions=(*[None] * 6, "an odd one", *[None] * 4),
    parents={"LAB//a": "LAB", "LAB//b": "LAB", "DX//2": "DX", "DX": "LAB"},
    delay_hours=np.asarray([5, 0, 0, 0, 3, 3, 0.5, 0, 2, 0, 0], dtype=np.float32),
)
VOCABULARY = Vocabulary(
    ("DX//1", "HR", "LAB", "LAB//a"),
    (None, tuple(bin_of(np.asarray([60.0, 80.0, 100.0])).tolist()), None, ()),
    num_hash_buckets=3,
)
FULL, BARE = SequenceConfig(skip_repeats=False), SequenceConfig(skip_repeats=True)
ABOUT = {"vocabulary": "v"}


@st.composite
def site_events(draw: st.DrawFn) -> Events:
    """A few subjects with a birth or none, static events, stays, values, repeats, delays."""
    rows: list[tuple[int, int, int, float, int]] = []
    ids = draw(st.lists(st.integers(-50, 10**12), min_size=1, max_size=4, unique=True))
    for subject in ids:
        own = [(NO_TIME, 0, np.nan, NO_VISIT)] if draw(st.integers(0, 9)) == 0 else []
        if draw(st.booleans()):
            own.append((draw(st.integers(-(10**9), 10**9)) * 1_000_000, 0, np.nan, NO_VISIT))
        drawn = draw(st.lists(st.tuples(
            st.none() | st.integers(0, 12), st.integers(1, len(NAMES) - 1),
            st.sampled_from([np.nan, 55.0, 60.0, 75.0, 120.0, np.inf, -np.inf]),
            st.integers(-1, 3),
        ), max_size=14))  # fmt: skip
        for hour, code, value, visit in drawn:
            when = NO_TIME if hour is None else START_TIME + hour * HOUR
            stay = NO_VISIT if hour is None or visit < 0 else visit + 100
            own.append((when, code, value, stay))
        rows += [(subject, *event) for event in sorted(own, key=lambda event: event[0])]
    if not rows:
        rows.append((ids[0], START_TIME, 1, 60.0, NO_VISIT))
    return _events(rows)


def _events(rows: list[tuple[int, int, int, float, int]]) -> Events:
    subjects, times, codes, values, visits = zip(*rows, strict=True)
    return Events(
        np.asarray(subjects, dtype=np.int64), np.asarray(times, dtype=np.int64),
        np.asarray(codes, dtype=np.int32), np.asarray(values, dtype=np.float32),
        np.asarray(visits, dtype=np.int64), NAMES,
    )  # fmt: skip


def _chunks(events: Events, sizes: int) -> list[Events]:
    """The events cut at subjects by the bits of `sizes`."""
    starts = np.flatnonzero(np.diff(events.subject_ids, prepend=events.subject_ids[0] - 1))
    cuts = [int(start) for i, start in enumerate(starts) if i and sizes >> i & 1]
    return [events.rows(a, b) for a, b in zip([0, *cuts], [*cuts, len(events)], strict=True)]


def _store(
    events: Events, config: SequenceConfig, *, sizes: int = 0, min_cell: int = 2
) -> TokenStore:
    """A store in memory, from the parts that `build_store` writes."""
    tokenizer = Tokenizer(CODES, VOCABULARY)
    counts = BackOffCounts(tokenizer.steps, ~tokenizer.is_birth)
    builder = SequenceBuilder(CODES, tokenizer, counts, config)
    parts = [builder.build(chunk) for chunk in _chunks(events, sizes)]

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    names = ("tokens", "times", "hours", "visits", "subject_ids", "first_ages", "sexes")
    return TokenStore(
        **{name: joined(name) for name in names},
        offsets=np.concatenate([[0], np.cumsum(joined("lengths"))]),
        back_off=counts.shares(min_cell),
    )


def _saved_store(events: Events, config: SequenceConfig, folder: Path, sizes: int) -> TokenStore:
    build_store(
        _chunks(events, sizes), CODES, VOCABULARY, config, min_cell=2, folder=folder, about=ABOUT
    )
    store = TokenStore.load(folder, ABOUT)
    assert store is not None
    return store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each example's store replaces the last one's."""
    return tmp_path_factory.mktemp("sequences") / "tokens"


def _token(code: str, value: float) -> int:
    description = CODES.descriptions[NAMES.index(code)]
    found = VOCABULARY.resolve(code, CODES.parents, description)
    cuts = VOCABULARY.cuts_of(code) if found.step == EXACT else None
    if cuts is None or np.isnan(value):
        return found.token
    place = int(bin_of(np.asarray([value]))[0])
    return found.token + 1 + sum(1 for cut in cuts if cut <= place)


def _slow_store(
    events: Events, skip_repeats: bool
) -> dict[int, tuple[float, list[tuple[int, int, float, int]]]]:
    """By subject: the age at the first event, and of each token: id, time, hours, stay."""
    subjects: dict[int, tuple[float, list[tuple[int, int, float, int]]]] = {}
    for subject in dict.fromkeys(events.subject_ids.tolist()):
        rows: list[tuple[int | None, str, float, int]] = []
        births: list[int] = []
        for i in np.flatnonzero(events.subject_ids == subject):
            code, time = NAMES[events.code_indices[i]], int(events.times[i])
            if code == BIRTH_CODE and time != NO_TIME:
                births.append(time)
            delay = 0 if code == BIRTH_CODE else float(CODES.delay_hours[events.code_indices[i]])
            known = None if time == NO_TIME else time + round(delay * HOUR)
            rows.append((known, code, float(events.values[i]), int(events.visit_ids[i])))
        rows.sort(key=lambda row: NO_TIME if row[0] is None else row[0])
        timed = [t for t, code, _, _ in rows if t is not None and code != BIRTH_CODE]
        first = min(timed) if timed else np.iinfo(np.int64).max
        births = [time for time in births if timed and time <= first]
        age = (first - births[-1]) / (365.25 * 24 * HOUR) if births else np.nan
        stays: list[int] = []
        latest: dict[tuple[int, str], int] = {}
        tokens = []
        for known, code, value, stay in rows:
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
            when = first if known is None else known
            tokens.append((token, when, (when - first) / HOUR, ordinal))
        if tokens:
            subjects[subject] = (age, tokens)
    return subjects


@settings(deadline=None, max_examples=200)
@given(events=site_events())
def test_tokens_are_those_of_the_slow_reference(events: Events) -> None:
    valued = np.flatnonzero(~np.isnan(events.values))
    found = Tokenizer(CODES, VOCABULARY).tokens_of(
        events.code_indices.astype(np.intp), events.values, valued
    )
    codes = [NAMES[i] for i in events.code_indices]
    assert found.tolist() == [
        _token(c, float(v)) for c, v in zip(codes, events.values, strict=True)
    ]


@settings(deadline=None, max_examples=200)
@given(events=site_events(), config=st.sampled_from([FULL, BARE]), sizes=st.integers(0, 15))
def test_the_store_is_that_of_the_slow_reference_however_it_is_chunked(
    events: Events, config: SequenceConfig, sizes: int
) -> None:
    store = _store(events, config, sizes=sizes)
    expected = _slow_store(events, config.skip_repeats)
    assert store.subject_ids.tolist() == list(expected)
    assert store.offsets.tolist()[0] == 0
    for row, (age, tokens) in enumerate(expected.values()):
        begin, end = int(store.offsets[row]), int(store.offsets[row + 1])
        assert store.tokens[begin:end].tolist() == [t for t, _, _, _ in tokens]
        assert store.times[begin:end].tolist() == [w for _, w, _, _ in tokens]
        assert store.hours[begin:end].tolist() == [np.float32(h) for _, _, h, _ in tokens]
        assert store.visits[begin:end].tolist() == [v for _, _, _, v in tokens]
        assert store.first_ages[row] == pytest.approx(age, rel=1e-6, nan_ok=True)


@settings(deadline=None, max_examples=200)
@given(events=site_events(), sizes=st.integers(0, 15))
def test_a_sex_is_what_all_static_codes_that_tell_one_agree_on(events: Events, sizes: int) -> None:
    store = _store(events, FULL, sizes=sizes)
    for subject, sex in zip(store.subject_ids.tolist(), store.sexes.tolist(), strict=True):
        told = {
            SEX_OF.get(NAMES[code], 0)
            for owner, time, code in zip(
                events.subject_ids, events.times, events.code_indices, strict=True
            )
            if owner == subject and time == NO_TIME
        } - {0}
        assert sex == (told.pop() if len(told) == 1 else 0)


@pytest.mark.parametrize(
    ("code", "sex"),
    [
        ("SEX//F", 1), ("SEX//M", 2), ("GENDER//F", 1), ("Gender/M", 2), ("sex//female", 1),
        ("GENDER//Male", 2), ("SEX//Other", 3), ("SEX//U", 0), ("SEX//", 0), ("SEX", 0),
        ("SEX//F//2", 0), ("SEXUAL_HISTORY//F", 0), ("LAB//SEX//F", 0), ("GENDERF", 0),
    ],
)  # fmt: skip
def test_codes_of_a_sex_are_read_however_they_are_written(code: str, sex: int) -> None:
    assert sex_of_code(code) == sex


@settings(deadline=None, max_examples=120)
@given(events=site_events(), sizes=st.integers(0, 15), min_cell=st.integers(1, 4))
def test_back_off_shares_are_those_of_the_slow_reference(
    events: Events, sizes: int, min_cell: int
) -> None:
    shares = _store(events, FULL, sizes=sizes, min_cell=min_cell).back_off
    told = [shares.exact, shares.ancestor, shares.bucket, shares.unknown]
    subjects: list[set[int]] = [set(), set(), set(), set()]
    nums = [0, 0, 0, 0]
    for subject, index in zip(events.subject_ids.tolist(), events.code_indices, strict=True):
        code = NAMES[index]
        if code != BIRTH_CODE:
            step = VOCABULARY.resolve(code, CODES.parents, CODES.descriptions[index]).step
            subjects[step].add(subject)
            nums[step] += 1
    hidden = {step for step, share in enumerate(told) if share is None}
    for step, share in enumerate(told):
        if share is not None:
            assert share == pytest.approx(nums[step] / max(1, sum(nums)))
            assert not 0 < len(subjects[step]) < min_cell
    together = set().union(*(subjects[step] for step in hidden))
    told_any = any(nums[step] for step in range(4) if step not in hidden)
    assert not hidden or len(together) >= min_cell or not told_any


@settings(deadline=None, max_examples=200)
@given(
    events=site_events(),
    config=st.sampled_from([FULL, BARE]),
    at=st.integers(-1, 16).map(lambda hour: START_TIME + hour * HOUR),
    context=st.integers(2, 12),
    data=st.data(),
)
def test_what_is_known_after_the_prediction_changes_no_input(
    events: Events, config: SequenceConfig, at: int, context: int, data: st.DataObject
) -> None:
    rows: list[tuple[int, int, int, float, int]] = []
    changed_subjects: set[int] = set()
    for subject, time, code, value, stay in zip(
        events.subject_ids.tolist(), events.times.tolist(), events.code_indices.tolist(),
        events.values.tolist(), events.visit_ids.tolist(), strict=True,
    ):  # fmt: skip
        is_late = code != 0 and time != NO_TIME and time + _delay(code) > at
        # Without any timed event there is nothing that what holds for all time could follow.
        if is_late and subject in changed_subjects and data.draw(st.booleans()):
            continue
        if is_late:
            changed_subjects.add(subject)
            code = data.draw(st.integers(1, len(NAMES) - 1))  # noqa: PLW2901
            time = at + data.draw(st.integers(1, 10**6)) - _delay(code)  # noqa: PLW2901
            value = data.draw(st.sampled_from([np.nan, 61.0, 500.0]))  # noqa: PLW2901
            stay = data.draw(st.sampled_from([NO_VISIT, 101, 77]))  # noqa: PLW2901
        rows.append((subject, time, code, value, stay))
    whole = list(dict.fromkeys(events.subject_ids.tolist()))
    rows.sort(key=lambda row: (whole.index(row[0]), row[1]))
    changed = _inputs(_events(rows), config, at, context)
    assert _inputs(events, config, at, context) == changed


def _delay(code: int) -> int:
    return round(float(CODES.delay_hours[code]) * HOUR)


def _inputs(events: Events, config: SequenceConfig, at: int, context: int) -> object:
    store = _store(events, config)
    rows = np.arange(store.num_subjects)
    windows = windows_before(store, rows, np.full(rows.size, at), context)
    assert all(window.end - window.begin < context for window in windows)
    found = {}
    for row in rows.tolist():
        window = windows[row : row + 1]
        assert np.all(store.times[window.begins[0] : window.ends[0]] <= at)
        batch = collate(store, window)
        if batch.tokens.numel() > 1:
            found[int(store.subject_ids[row])] = [
                x.tolist()
                for x in (batch.tokens, batch.hours, batch.ages, batch.visits, batch.sexes)
            ]
    return found


@settings(deadline=None, max_examples=100)
@given(events=site_events(), asked=st.lists(st.integers(-60, 60)))
def test_rows_of_finds_subjects_in_any_order_and_says_who_is_unknown(
    events: Events, asked: list[int]
) -> None:
    store = _store(events, FULL)
    ids = np.asarray([*asked, *store.subject_ids.tolist()[::-1]], dtype=np.int64)
    expected = [
        store.subject_ids.tolist().index(s) if s in store.subject_ids else -1 for s in ids.tolist()
    ]
    assert store.rows_of(ids).tolist() == expected


@settings(deadline=None, max_examples=25)
@given(events=site_events(), config=st.sampled_from([FULL, BARE]), sizes=st.integers(0, 15))
def test_a_store_comes_back_from_disk(
    events: Events, config: SequenceConfig, sizes: int, folder: Path
) -> None:
    saved, made = _saved_store(events, config, folder, sizes), _store(events, config)
    for name in DTYPES:
        np.testing.assert_array_equal(getattr(saved, name), getattr(made, name))
        assert getattr(saved, name).dtype == np.dtype(DTYPES[name])
        np.testing.assert_array_equal(np.load(folder / f"{name}.npy"), getattr(made, name))
    assert saved.back_off == made.back_off
    assert TokenStore.load(folder, {"vocabulary": "other"}) is None


def test_an_old_store_stays_mapped_when_another_takes_its_name(folder: Path) -> None:
    first = _saved_store(_events([(5, START_TIME, 1, 60.0, NO_VISIT)]), FULL, folder, 0)
    tokens = first.tokens.tolist()
    second = _saved_store(_events([(6, START_TIME, 6, np.nan, NO_VISIT)]), FULL, folder, 0)
    assert first.subject_ids.tolist() == [5]
    assert second.subject_ids.tolist() == [6]
    assert first.tokens.tolist() == tokens != second.tokens.tolist()
    assert [f.name for f in folder.parent.iterdir()] == ["tokens"]


def test_cut_values_part_all_floats_as_the_grid_does() -> None:
    cuts = np.arange(NUM_EDGES + 1)
    values = cut_values(cuts)
    reachable = (cuts > 0) & (cuts < NUM_EDGES)
    assert np.isneginf(values[0])
    assert np.isnan(values[-1])
    assert np.all(bin_of(values[reachable]) >= cuts[reachable])
    below = np.nextafter(values[reachable], np.float32(-np.inf))
    assert np.all(bin_of(below) < cuts[reachable])


@settings(deadline=None, max_examples=200)
@given(
    cuts=st.lists(
        st.none() | st.sets(st.integers(0, NUM_EDGES), max_size=20).map(sorted),
        min_size=1, max_size=5,
    ),
    values=st.lists(st.floats(width=32, allow_nan=False), max_size=20),
    data=st.data(),
)  # fmt: skip
def test_bins_are_those_of_the_grid(
    cuts: list[list[int] | None], values: list[float], data: st.DataObject
) -> None:
    rows = [data.draw(st.integers(0, len(cuts) - 1)) for _ in values]
    value_array: NDArray[np.float32] = np.asarray(values, dtype=np.float32)
    found = CutTable(cuts).bins_of(np.asarray(rows, dtype=np.intp), value_array)
    for row, value, place in zip(rows, bin_of(value_array).tolist(), found.tolist(), strict=True):
        own = cuts[row]
        assert place == (0 if own is None else 1 + sum(1 for cut in own if cut <= value))


def test_times_too_wide_for_one_key_are_sorted_all_the_same() -> None:
    """Thousands of years a subject do not fit one 64-bit key; the order is the same."""
    far = 2**60
    rows = [
        row
        for subject in range(8)
        for row in (
            (subject, NO_TIME, 2, np.nan, NO_VISIT),
            (subject, -far, 4, np.nan, NO_VISIT),
            (subject, -far + HOUR, 1, 60.0, NO_VISIT),
            (subject, far, 1, 75.0, NO_VISIT),
        )
    ]
    events = _events(rows)
    store = _store(events, FULL)
    expected = [t for _, own in _slow_store(events, False).values() for t, _, _, _ in own]
    assert store.tokens.tolist() == expected
    near = replace(events, times=np.where(events.times == far, START_TIME, events.times))
    assert _store(near, FULL).tokens.tolist() == expected
