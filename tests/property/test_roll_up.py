"""What a site tells of its codes: nobody below `min_cell`, neither at once nor by subtraction."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client.vocabulary.counts import CodeCounts
from fedehr_client.vocabulary.roll_up import roll_up as rolled_up
from fedehr_client.vocabulary.site_report import SiteRecords, count_site
from fedehr_client.vocabulary.tree import CodeTree
from fedehr_shared.errors import TooFewSubjectsError
from fedehr_shared.meds.reader import NO_VISIT, Events
from fedehr_shared.vocabulary.grid import bin_of

CODES = tuple("ABCDEFGH")
subject_sets = st.dictionaries(
    st.sampled_from(CODES), st.sets(st.integers(0, 30), min_size=1), max_size=len(CODES)
)
# Any parents at all, cycles and a code that is its own parent among them.
any_parents = st.dictionaries(st.sampled_from(CODES), st.sampled_from([*CODES, "X", "Y"]))


def _events(sets: dict[str, set[int]]) -> Events:
    """One event a subject and code."""
    rows = sorted((subject, CODES.index(code)) for code, own in sets.items() for subject in own)
    columns = np.asarray(rows, dtype=np.int64).reshape(-1, 2)
    return Events(
        subject_ids=columns[:, 0],
        times=np.zeros(len(rows), dtype=np.int64),
        code_indices=columns[:, 1].astype(np.int32),
        values=np.full(len(rows), np.nan, dtype=np.float32),
        visit_ids=np.full(len(rows), NO_VISIT),
        codes=CODES,
    )


def _chunks(events: Events, size: int) -> list[Events]:
    """Whole subjects, `size` of them a chunk."""
    starts = np.flatnonzero(np.diff(events.subject_ids, prepend=-1))[::size].tolist()
    ends = [*starts[1:], len(events)]
    return [events.rows(start, end) for start, end in zip(starts, ends, strict=False)]


def _records(
    events: Events, parents: dict[str, str], splits: dict[int, str], size: int = 3
) -> SiteRecords:
    return SiteRecords("north", CODES, parents, splits, lambda: _chunks(events, size))


def roll_up(
    sets: dict[str, set[int]], parents: dict[str, str], min_cell: int, size: int = 3
) -> dict[str, int]:
    """By code, from a stream of chunks."""
    everyone = set().union(*sets.values()) if sets else set()
    records = _records(_events(sets), parents, dict.fromkeys(everyone, "train"), size)
    counts = CodeCounts(len(CODES), min_cell)
    for chunk in records.chunks():
        counts.add(chunk)
    tree = CodeTree.of(CODES, parents)
    by_row = rolled_up(tree, counts, min_cell).with_joined(records.chunks())
    return {tree.names[row]: num for row, num in by_row.items()}


def _slowly(
    sets: dict[str, set[int]], parents: dict[str, str], min_cell: int
) -> dict[str, set[int]]:
    """The same for trees, one code at a time: leaves first."""
    groups = {code: set(members) for code, members in sets.items()}
    counted: dict[str, set[int]] = {}
    while groups:
        above = {parents[c] for c in groups if c in parents}
        grew = True
        while grew:
            more = {parents[c] for c in above if c in parents} - above
            above |= more
            grew = bool(more)
        for code in sorted(set(groups) - above):
            members = groups.pop(code)
            if len(members) >= min_cell:
                counted[code] = members
            elif code in parents:
                groups.setdefault(parents[code], set()).update(members)
    return counted


@settings(deadline=None, max_examples=300)
@given(sets=subject_sets, parents=any_parents, min_cell=st.integers(1, 12))
def test_it_ends_and_every_count_is_large_enough(
    sets: dict[str, set[int]], parents: dict[str, str], min_cell: int
) -> None:
    counts = roll_up(sets, parents, min_cell)
    assert all(num >= min_cell for num in counts.values())
    everyone = set().union(*sets.values()) if sets else set()
    assert all(num <= len(everyone) for num in counts.values())


# A parent's place in CODES is lower than its child's: no cycles.
trees = st.tuples(*(st.none() | st.sampled_from(CODES[:i]) for i in range(1, len(CODES)))).map(
    lambda chosen: {c: p for c, p in zip(CODES[1:], chosen, strict=True) if p is not None}
)


@settings(deadline=None, max_examples=300)
@given(sets=subject_sets, parents=trees, min_cell=st.integers(1, 12), chunk_size=st.integers(1, 40))
def test_in_a_tree_it_is_the_slow_reference_however_it_streams(
    sets: dict[str, set[int]], parents: dict[str, str], min_cell: int, chunk_size: int
) -> None:
    expected = {c: len(g) for c, g in _slowly(sets, parents, min_cell).items()}
    assert roll_up(sets, parents, min_cell, chunk_size) == expected


@settings(deadline=None, max_examples=200)
@given(own=st.sets(st.integers(0, 40)), rare=st.sets(st.integers(0, 40), min_size=1, max_size=4))
def test_a_rare_code_cannot_be_told_from_its_parent(own: set[int], rare: set[int]) -> None:
    sets = {"A": own, "B": rare} if own else {"B": rare}
    counts = roll_up(sets, {"B": "A"}, 5)
    assert "B" not in counts
    assert counts.get("A", len(own | rare)) == len(own | rare)


@st.composite
def site_events(draw: st.DrawFn) -> Events:
    """Up to 40 subjects in order, codes with and without values."""
    num = draw(st.integers(6, 40))
    rows = []
    for subject in range(num):
        codes = draw(st.lists(st.integers(0, len(CODES) - 1), min_size=1, max_size=5))
        rows += [(subject, when, code) for when, code in enumerate(sorted(codes))]
    columns = np.asarray(rows, dtype=np.int64).reshape(-1, 3)
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    values = generator.normal(10, 3, len(rows)).astype(np.float32)
    values[generator.random(len(rows)) < draw(st.sampled_from([0.0, 0.1, 0.5]))] = np.nan
    return Events(
        subject_ids=columns[:, 0],
        times=columns[:, 1],
        code_indices=columns[:, 2].astype(np.int32),
        values=values,
        visit_ids=np.full(len(rows), NO_VISIT),
        codes=CODES,
    )


@settings(deadline=None, max_examples=150)
@given(events=site_events(), parents=trees, min_cell=st.integers(2, 12))
def test_no_sum_or_difference_of_reported_numbers_is_a_small_group(
    events: Events, parents: dict[str, str], min_cell: int
) -> None:
    splits = {int(s): "train" for s in np.unique(events.subject_ids)}
    try:
        report = count_site(_records(events, parents, splits), min_cell)
    except TooFewSubjectsError:
        return
    told = [report.num_subjects, *report.num_subjects_by_code.values()]
    told += [count for h in report.histograms.values() for count in h.counts]
    assert min(told) >= min_cell
    assert all(num % min_cell == 0 for num in told)
    assert set(report.histograms) <= set(report.num_subjects_by_code)
    assert 0 <= len(splits) - report.num_subjects < min_cell


@settings(deadline=None, max_examples=100)
@given(events=site_events(), min_cell=st.integers(2, 12))
def test_histograms_are_of_first_values(events: Events, min_cell: int) -> None:
    splits = {int(s): "train" for s in np.unique(events.subject_ids)}
    try:
        report = count_site(_records(events, {}, splits), min_cell)
    except TooFewSubjectsError:
        return
    for code, histogram in report.histograms.items():
        rows = (events.code_indices == CODES.index(code)) & ~np.isnan(events.values)
        _, first = np.unique(events.subject_ids[rows], return_index=True)
        places = bin_of(events.values[rows][first])
        inner = np.asarray(histogram.edges[1:-1])
        exact = np.bincount(np.searchsorted(inner, places, side="right"))
        told = np.cumsum(exact) // min_cell * min_cell
        assert np.cumsum(histogram.counts).tolist() == told.tolist()
