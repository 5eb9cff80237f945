"""The vocabulary: the same from any order of reports, and the same after travelling."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.config.vocabulary import VocabularyConfig
from fedehr_shared.errors import TooFewSubjectsError, WireError
from fedehr_shared.vocabulary.build import build_vocabulary
from fedehr_shared.vocabulary.grid import NUM_EDGES
from fedehr_shared.vocabulary.histogram import MergedHistogram, merge_bins
from fedehr_shared.vocabulary.noise_spent import NoiseSpent
from fedehr_shared.vocabulary.report import VocabularyReport
from fedehr_shared.vocabulary.vocabulary import SPECIAL_TOKENS, Vocabulary
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.vocabulary_payload import report_from_payload, report_to_payload

code_names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1)
any_cuts = st.none() | st.sets(st.integers(0, NUM_EDGES), max_size=9).map(
    lambda s: tuple(sorted(s))
)


@st.composite
def vocabularies(draw: st.DrawFn) -> Vocabulary:
    codes = sorted(draw(st.sets(code_names, min_size=1, max_size=20)))
    num_hash_buckets = draw(st.integers(0, 5))
    return Vocabulary(tuple(codes), tuple(draw(any_cuts) for _ in codes), num_hash_buckets)


@st.composite
def site_reports(draw: st.DrawFn) -> list[VocabularyReport]:
    reports = []
    for site in range(draw(st.integers(1, 5))):
        counts = draw(st.dictionaries(st.sampled_from("ABCDEF"), st.integers(5, 99), min_size=1))
        histograms = {}
        for code in sorted(counts):
            values = draw(st.lists(st.integers(7_000, 7_400), max_size=30))
            merged = merge_bins(*np.unique(np.asarray(values), return_counts=True), 5)
            if merged is not None:
                histograms[code] = merged
        parents = draw(st.dictionaries(st.sampled_from("ABCDEF"), st.sampled_from("ABCDEFGH")))
        spent = draw(st.none() | st.just(NoiseSpent(1.0, 1e-6, 30.5)))
        reports.append(
            VocabularyReport(
                f"site-{site}", 99, counts, parents, histograms, {"death": (20, 10)}, 1, spent
            )
        )
    return reports


@settings(deadline=None)
@given(reports=site_reports(), min_sites=st.integers(1, 3), data=st.data())
def test_the_order_of_reports_changes_no_bit(
    reports: list[VocabularyReport], min_sites: int, data: st.DataObject
) -> None:
    config = VocabularyConfig(min_cell=5, min_sites=min_sites)
    shuffled = data.draw(st.permutations(reports))
    try:
        vocabulary = build_vocabulary(reports, config)
    except TooFewSubjectsError:
        with pytest.raises(TooFewSubjectsError):
            build_vocabulary(shuffled, config)
        return
    again = build_vocabulary(shuffled, config)
    assert again.to_json() == vocabulary.to_json()
    assert again.digest == vocabulary.digest


@settings(deadline=None)
@given(reports=site_reports(), min_sites=st.integers(1, 3))
def test_a_code_is_kept_when_enough_sites_name_it_or_one_below_it(
    reports: list[VocabularyReport], min_sites: int
) -> None:
    named: dict[str, set[str]] = {}
    for report in reports:
        for code in report.num_subjects_by_code:
            at: str | None = code
            for _ in range(10):
                if at is None:
                    break
                named.setdefault(at, set()).add(report.site)
                at = report.parents.get(at)
    expected = sorted(code for code, sites in named.items() if len(sites) >= min_sites)
    config = VocabularyConfig(min_cell=5, min_sites=min_sites)
    if not expected:
        with pytest.raises(TooFewSubjectsError):
            build_vocabulary(reports, config)
        return
    assert list(build_vocabulary(reports, config).codes) == expected


@settings(deadline=None)
@given(vocabulary=vocabularies())
def test_it_comes_back_from_its_text_with_the_same_digest(vocabulary: Vocabulary) -> None:
    again = Vocabulary.from_json(vocabulary.to_json())
    assert again == vocabulary
    assert again.digest == vocabulary.digest


@settings(deadline=None)
@given(one=vocabularies(), other=vocabularies())
def test_another_vocabulary_has_another_digest(one: Vocabulary, other: Vocabulary) -> None:
    assert (one.digest == other.digest) == (one == other)


@settings(deadline=None)
@given(vocabulary=vocabularies())
def test_tokens_fill_their_range_without_gaps(vocabulary: Vocabulary) -> None:
    assert len(vocabulary.names) == vocabulary.num_tokens
    assert vocabulary.names[: len(SPECIAL_TOKENS)] == SPECIAL_TOKENS
    first_of_all = len(SPECIAL_TOKENS) + vocabulary.num_hash_buckets
    assert min(vocabulary.first_tokens.values()) == first_of_all
    for code in vocabulary.codes:
        first = vocabulary.first_tokens[code]
        assert vocabulary.names[first] == code
        cuts = vocabulary.cuts_of(code)
        if cuts is not None:
            assert vocabulary.names[first + len(cuts) + 1] == f"{code}//Q{len(cuts) + 1}"


@settings(deadline=None)
@given(reports=site_reports())
def test_a_report_survives_its_records(reports: list[VocabularyReport]) -> None:
    for report in reports:
        assert report_from_payload(report_to_payload(report)) == report
        tens = VocabularyReport(
            report.site,
            report.num_subjects,
            {code: 10 * num for code, num in report.num_subjects_by_code.items()},
            report.parents,
            {
                code: MergedHistogram(h.edges, tuple(10 * count for count in h.counts))
                for code, h in report.histograms.items()
            },
            unit=10,
        )
        assert report_from_payload(report_to_payload(tens)) == tens


@settings(deadline=None)
@given(reports=site_reports(), data=st.data())
def test_a_report_with_an_index_out_of_bounds_is_refused(
    reports: list[VocabularyReport], data: st.DataObject
) -> None:
    values = report_to_payload(reports[0]).values
    keys = [("codes", "parent"), ("histograms", "code"), ("histograms", "num_bins")]
    given_keys = [key for key in keys if values[key[0]][key[1]]]
    record, key = data.draw(st.sampled_from(given_keys))
    whole = values[record][key]
    assert isinstance(whole, list)
    wrong = data.draw(st.sampled_from([-2, 99, 2**62]))
    values[record][key] = [wrong, *(int(item) for item in whole[1:])]
    with pytest.raises(WireError):
        report_from_payload(Payload(values=values))


@settings(deadline=None)
@given(reports=site_reports(), data=st.data())
def test_a_report_with_a_list_cut_short_is_refused(
    reports: list[VocabularyReport], data: st.DataObject
) -> None:
    payload = report_to_payload(reports[0])
    lists = [
        (record, key)
        for record, values in payload.values.items()
        for key, value in values.items()
        if isinstance(value, list) and value
    ]
    record, key = data.draw(st.sampled_from(lists))
    whole = payload.values[record][key]
    assert isinstance(whole, list)
    values = {**payload.values, record: {**payload.values[record], key: whole[:-1]}}
    with pytest.raises(WireError):
        report_from_payload(Payload(values=values))


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[]", "null", "3",
        '{"format":3,"grid_edges":16384,"num_hash_buckets":0,"codes":[]}',
        '{"format":2,"grid_edges":256,"num_hash_buckets":0,"codes":[]}',
        '{"format":2,"grid_edges":16384,"num_hash_buckets":0,"codes":[["A",[3,2]]]}',
        '{"format":2,"grid_edges":16384,"num_hash_buckets":0,"codes":[["A",null],["A",null]]}',
        '{"format":2,"grid_edges":16384,"num_hash_buckets":0,"codes":[["A",[-1]]]}',
        '{"format":2,"grid_edges":16384,"num_hash_buckets":0,"codes":[["A"]]}',
        '{"format":2,"grid_edges":16384,"num_hash_buckets":0,"codes":[["A",["x"]]]}',
        '{"format":2,"grid_edges":16384,"codes":[["A",null]]}',
        '{"format":2,"grid_edges":16384,"num_hash_buckets":-1,"codes":[["A",null]]}',
        '{"format":2,"grid_edges":16384,"num_hash_buckets":true,"codes":[["A",null]]}',
    ],
)  # fmt: skip
def test_a_text_that_is_no_vocabulary_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        Vocabulary.from_json(text)


def test_an_older_format_is_refused_with_what_to_do() -> None:
    text = '{"format":1,"grid_edges":16384,"codes":[["A",null]]}'
    with pytest.raises(WireError, match=r"format 1, .* reads format 2\. Agree on it anew"):
        Vocabulary.from_json(text)


def test_the_text_is_canonical() -> None:
    vocabulary = Vocabulary(("A", "B"), (None, (3, 9)))
    content = json.loads(vocabulary.to_json())
    assert content["codes"] == [["A", None], ["B", [3, 9]]]
    assert json.dumps(content, separators=(",", ":")) == vocabulary.to_json()
