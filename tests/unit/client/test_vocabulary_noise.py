"""Noise on counts: enough of it, from the system, over a bounded share of each subject."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedehr_client.vocabulary.noise import (
    NoiseBounds,
    naming_threshold,
    spend,
)
from fedehr_client.vocabulary.noisy_counts import BoundedCounts, name_codes
from fedehr_client.vocabulary.noisy_histogram import NUM_LEVELS, NoisyTree, noisy_histogram
from fedehr_client.vocabulary.site_report import (
    SiteRecords,
    count_site,
    count_site_with_noise,
    spend_of,
)
from fedehr_client.vocabulary.tree import CodeTree
from fedehr_shared.config.vocabulary import VocabularyConfig
from fedehr_shared.errors import TooFewSubjectsError
from fedehr_shared.meds.reader import NO_VISIT, Events
from fedehr_shared.privacy.gaussian import gaussian_delta, gaussian_multiplier
from fedehr_shared.privacy.system_noise import SystemNoise
from fedehr_shared.vocabulary.grid import bin_of
from fedehr_shared.vocabulary.histogram import quantile_cuts
from fedehr_shared.vocabulary.noise_spent import NoiseSpent

CODES = ("ICD10CM//E11.65", "ICD10CM//E11.9", "ICD10CM//I10", "HR", "DRUG//1")
PARENTS = {"DRUG//1": "DRUG"}


class NoNoise:
    """Zeros for normal numbers; choices stay random."""

    def __init__(self, seed: int = 0) -> None:
        self._generator = np.random.default_rng(seed)

    def standard_normal(self, size: int) -> NDArray[np.float64]:
        return np.zeros(size)

    def random(self, size: int) -> NDArray[np.float64]:
        return self._generator.random(size)


def _hockey_stick(sigma: float, epsilon: float) -> float:
    """The delta of N(1, sigma) against N(0, sigma), by summing over a fine grid."""
    x, step = np.linspace(1 - 14 * sigma, 1 + 14 * sigma, 200_001, retstep=True)
    far = np.exp(-((x - 1) ** 2) / (2 * sigma**2))
    near = np.exp(-(x**2) / (2 * sigma**2) + epsilon)
    return float(np.maximum(far - near, 0).sum() * step / (sigma * math.sqrt(2 * math.pi)))


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("delta", [1e-3, 1e-6])
def test_the_multiplier_is_the_least_that_is_private(epsilon: float, delta: float) -> None:
    sigma = gaussian_multiplier(epsilon, delta)
    assert _hockey_stick(sigma, epsilon) == pytest.approx(delta, rel=1e-3)
    assert _hockey_stick(sigma * 0.98, epsilon) > delta
    assert gaussian_delta(sigma, epsilon) <= delta


@settings(deadline=None, max_examples=60)
@given(
    epsilon=st.floats(0.05, 20),
    delta=st.floats(1e-9, 1e-3),
    num_codes=st.integers(1, 500),
    min_cell=st.integers(2, 30),
)
def test_nobody_s_own_codes_are_named_but_for_delta(
    epsilon: float, delta: float, num_codes: int, min_cell: int
) -> None:
    spent = spend(epsilon, delta, math.sqrt(num_codes))
    threshold = naming_threshold(spent, num_codes, min_cell)
    tail = 0.5 * math.erfc((threshold - (min_cell - 1)) / spent.sigma / math.sqrt(2))
    assert -math.expm1(num_codes * math.log1p(-tail)) <= delta / 2 * (1 + 1e-5)
    assert threshold >= min_cell - 1


def test_the_system_s_noise_is_normal_and_never_the_same() -> None:
    np.random.seed(0)
    one = SystemNoise().standard_normal(200_000)
    np.random.seed(0)
    other = SystemNoise().standard_normal(200_000)
    assert not np.array_equal(one, other)
    for drawn in (one, other):
        assert abs(drawn.mean()) < 0.015
        assert drawn.std() == pytest.approx(1.0, abs=0.012)
        for at in (-3.0, -1.0, 0.0, 2.0):
            expected = NormalDist().cdf(at)
            assert (drawn < at).mean() == pytest.approx(expected, abs=0.006)
    assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < 0.015


@st.composite
def site_records(draw: st.DrawFn) -> SiteRecords:
    num = draw(st.integers(1, 30))
    rows = []
    for subject in range(num):
        own = draw(st.sets(st.integers(0, len(CODES) - 1), min_size=1))
        rows += [(subject, code) for code in sorted(own) for _ in range(2)]
    return _records(rows, num)


def _records(rows: list[tuple[int, int]], num: int, size: int = 4) -> SiteRecords:
    columns = np.asarray(rows, dtype=np.int64).reshape(-1, 2)
    values = np.where(columns[:, 1] == CODES.index("HR"), 60.0 + columns[:, 0], np.nan)
    events = Events(
        columns[:, 0],
        np.zeros(len(rows), np.int64),
        columns[:, 1].astype(np.int32),
        values.astype(np.float32),
        np.full(len(rows), NO_VISIT),
        CODES,
    )
    starts = np.flatnonzero(np.diff(events.subject_ids, prepend=-1))[::size].tolist()
    ends = [*starts[1:], len(events)]
    chunks = [events.rows(start, end) for start, end in zip(starts, ends, strict=True)]
    splits = dict.fromkeys(range(num), "train")
    return SiteRecords("north", CODES, PARENTS, splits, lambda: chunks)


def _above(code: str) -> set[str]:
    chains = {
        "ICD10CM//E11.65": {"ICD10CM//E11.65", "ICD10CM//E11.6", "ICD10CM//E11"},
        "ICD10CM//E11.9": {"ICD10CM//E11.9", "ICD10CM//E11"},
        "DRUG//1": {"DRUG//1", "DRUG"},
    }
    return chains.get(code, {code})


@settings(deadline=None, max_examples=80)
@given(records=site_records(), most=st.integers(1, 9), seed=st.integers(0, 9))
def test_a_subject_counts_at_its_codes_and_those_above_and_no_more_than_allowed(
    records: SiteRecords, most: int, seed: int
) -> None:
    tree = CodeTree.of(CODES, PARENTS)
    counts = BoundedCounts(tree, most, NoNoise(seed)).add_all(records.chunks())
    held: dict[int, set[str]] = {}
    for events in records.stream():
        for subject, code in zip(events.subject_ids, events.code_indices, strict=True):
            held.setdefault(int(subject), set()).update(_above(CODES[code]))
    assert counts.num_subjects == len(held)
    allowed = [min(most, len(own)) for own in held.values()]
    assert int(counts.by_row.sum()) == sum(allowed)
    for row, num in enumerate(counts.by_row.tolist()):
        assert num <= sum(tree.names[row] in own for own in held.values())
    values = sum(int(sizes.sum()) for _, sizes in counts.first_values.by_code().values())
    assert values <= int(counts.by_row[CODES.index("HR")])
    if most >= max(len(own) for own in held.values()):
        exact = [sum(name in own for own in held.values()) for name in tree.names]
        assert counts.by_row.tolist() == exact
        assert values == counts.by_row[CODES.index("HR")]


@settings(deadline=None, max_examples=50)
@given(records=site_records(), most=st.integers(1, 9))
def test_one_subject_moves_the_release_by_no_more_than_its_sensitivity(
    records: SiteRecords, most: int
) -> None:
    """A site of one subject against an empty one: everything that is released of it."""
    tree = CodeTree.of(CODES, PARENTS)
    for chunk in records.chunks():
        counts = BoundedCounts(tree, most, NoNoise()).add_all([chunk])
        squares = float(counts.by_row.sum())
        squares += NUM_LEVELS * sum(
            float(sizes.sum()) for _, sizes in counts.first_values.by_code().values()
        )
        config = VocabularyConfig(noise_epsilon=1.0, noise_delta=1e-6, max_codes_per_subject=most)
        spent = spend_of(config, num_tasks=0)
        assert spent is not None
        sensitivity = spent.sigma / gaussian_multiplier(1.0, 5e-7)
        assert squares <= counts.num_subjects * sensitivity**2 * (1 + 1e-9)


def test_the_noise_is_over_labels_alone_where_a_vocabulary_is_reused() -> None:
    config = VocabularyConfig(noise_epsilon=2.0, noise_delta=1e-5, max_codes_per_subject=100)
    reused = VocabularyConfig(noise_epsilon=2.0, noise_delta=1e-5, reuse="0" * 64)
    full, labels = spend_of(config, 4), spend_of(reused, 4)
    assert full is not None
    assert labels is not None
    assert full.sigma / labels.sigma == pytest.approx(math.sqrt((100 * 5 + 4) / 4))
    assert spend_of(VocabularyConfig(), 4) is None


def test_without_noise_in_the_noise_frequent_codes_and_those_above_are_named() -> None:
    rows = [(s, 0 if s < 30 else 1) for s in range(60)] + [(s, 3) for s in range(60)]
    rows += [(0, 4)]
    config = VocabularyConfig(min_cell=5, noise_epsilon=1.0, noise_delta=1e-6)
    spent = NoiseSpent(1.0, 1e-6, 0.5)
    report = count_site_with_noise(_records(sorted(rows), 60), config, spent, NoNoise())
    assert report.num_subjects_by_code == {
        "HR": 60, "ICD10CM//E11": 60, "ICD10CM//E11.6": 30, "ICD10CM//E11.65": 30,
        "ICD10CM//E11.9": 30,
    }  # fmt: skip
    assert report.noise == spent
    assert set(report.histograms) == {"HR"}
    with pytest.raises(TooFewSubjectsError):
        count_site_with_noise(
            _records(sorted(rows), 60), config, NoiseSpent(1.0, 1e-6, 50.0), NoNoise()
        )


def test_without_noise_rare_icd_codes_are_told_as_their_category() -> None:
    rows = [(s, 0) for s in range(4)] + [(s, 1) for s in range(4, 8)]
    report = count_site(_records(rows, 8), 5)
    assert report.num_subjects_by_code == {"ICD10CM//E11": 5}
    assert report.parents == {}


@pytest.mark.parametrize("sigma", [0.0, 20.0, 100.0])
def test_noisy_quantiles_are_near_the_true_ones(sigma: float) -> None:
    generator = np.random.default_rng(1)
    values = generator.normal(80.0, 15.0, 50_000)
    places, sizes = np.unique(bin_of(values).astype(np.int64), return_counts=True)
    found = noisy_histogram(places, sizes, NoiseBounds(sigma, 11, generator))
    assert found is not None
    cuts = quantile_cuts([found], 10)
    shares = np.bincount(np.searchsorted(cuts, bin_of(values), side="right"), minlength=10)
    # Heart rates: a decile is 12 to 35 bins of the grid wide.
    assert np.abs(shares / values.size - 0.1).max() < (0.03 if sigma <= 20 else 0.06)


@settings(deadline=None, max_examples=60)
@given(
    places=st.lists(st.integers(0, 16_383), min_size=1, max_size=60, unique=True).map(sorted),
    size=st.integers(1, 400),
    sigma=st.floats(0, 200),
    min_cell=st.integers(2, 30),
    seed=st.integers(0, 99),
)
def test_any_noisy_histogram_may_be_told(
    places: list[int], size: int, sigma: float, min_cell: int, seed: int
) -> None:
    bounds = NoiseBounds(sigma, min_cell, np.random.default_rng(seed))
    sizes = np.full(len(places), size)
    found = noisy_histogram(np.asarray(places), sizes, bounds)
    if found is not None:
        assert min(found.counts) >= min_cell
        assert len(found.counts) <= 20
    elif sigma == 0:
        assert len(places) * size < 2 * min_cell


class SameNoise(NoNoise):
    """One normal number for all."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = value

    def standard_normal(self, size: int) -> NDArray[np.float64]:
        return np.full(size, self._value)


def test_a_histogram_does_not_show_that_one_subject_has_a_value() -> None:
    """Codes without values are drawn like the others: noise that makes a histogram of one
    subject's value makes one of nobody's."""
    rows = [(subject, 0) for subject in range(400)]
    config = VocabularyConfig(min_cell=5, noise_epsilon=1.0, noise_delta=1e-6)
    spent = NoiseSpent(1.0, 1e-6, 10.0)
    report = count_site_with_noise(_records(rows, 400), config, spent, SameNoise(3.0))
    assert set(report.histograms) == set(report.num_subjects_by_code)
    quiet = count_site_with_noise(_records(rows, 400), config, spent, SameNoise(0.0))
    assert quiet.num_subjects_by_code
    assert quiet.histograms == {}


def test_noise_alone_seldom_makes_a_histogram() -> None:
    nothing = np.empty(0, dtype=np.int64)
    bounds = NoiseBounds(20.0, 11, np.random.default_rng(3))
    found = [noisy_histogram(nothing, nothing, bounds) for _ in range(1_000)]
    assert sum(each is not None for each in found) < 20


def test_rounding_gives_no_code_over_the_threshold() -> None:
    counts = BoundedCounts(CodeTree.of(("A",), {}), 1, NoNoise())
    counts.by_row[:] = 10
    assert name_codes(counts, 10.7, NoiseBounds(1.0, 11, SameNoise(0.6))) == {}
    assert name_codes(counts, 10.2, NoiseBounds(1.0, 11, SameNoise(0.4))) == {0: 11}


def test_a_node_answers_the_same_when_it_is_asked_again() -> None:
    tree = NoisyTree(np.asarray([9_000]), np.asarray([500]), NoiseBounds(5.0, 11, SystemNoise()))
    first = tree.children(0, 0).copy()
    tree.place_of(0.5)
    assert np.array_equal(tree.children(0, 0), first)


def test_epsilon_and_delta_go_together() -> None:
    with pytest.raises(ValueError, match="go together"):
        VocabularyConfig(noise_epsilon=1.0)
    with pytest.raises(ValueError, match="go together"):
        VocabularyConfig(noise_delta=1e-6)
