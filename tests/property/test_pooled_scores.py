"""What histograms of scores tell of all sites together: a range that always holds the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from fedehr_shared.metrics.bound import Bound, mean_bound
from fedehr_shared.metrics.pooled import SiteScores, pooled_auroc
from fedehr_shared.metrics.pooled_precision import pooled_auprc
from fedehr_shared.metrics.rank_bound import rank_bound
from fedehr_shared.metrics.score_histogram import NUM_CELLS, ScoreHistogram, places_of
from fedehr_shared.metrics.threshold import at_threshold

Scored = tuple[NDArray[np.float64], NDArray[np.float64]]


@st.composite
def site(draw: st.DrawFn, min_cell: int) -> Scored:
    """One site: small or large, easy or hopeless, with many ties or none, even outside 0 and 1's
    neighborhood."""
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    num = [min_cell + draw(st.integers(0, 4 * min_cell + 60)) for _ in range(2)]
    skill = draw(st.sampled_from([-2.0, 0.0, 1.0, 30.0]))
    spread = draw(st.sampled_from([0.0, 0.01, 1.0, 8.0]))
    shift = draw(st.floats(-6, 6))
    labels = np.repeat([0.0, 1.0], num)
    logits = shift + skill * labels + spread * generator.normal(size=labels.size)
    grain = draw(st.sampled_from([2, 10, 1_000, 10**9]))
    scores = np.round(grain / (1 + np.exp(-logits))) / grain
    order = generator.permutation(labels.size)
    return labels[order], scores[order]


@st.composite
def federation(draw: st.DrawFn) -> tuple[int, list[Scored]]:
    """A `min_cell` and one to four sites."""
    min_cell = draw(st.sampled_from([5, 6, 11, 23, 50]))
    return min_cell, draw(st.lists(site(min_cell), min_size=1, max_size=4))


def _told(labels: NDArray[np.float64], scores: NDArray[np.float64], min_cell: int) -> SiteScores:
    return SiteScores(
        ScoreHistogram.of(scores[labels == 1], min_cell),
        ScoreHistogram.of(scores[labels == 0], min_cell),
    )


def _all(sites: list[Scored]) -> Scored:
    return np.concatenate([one[0] for one in sites]), np.concatenate([one[1] for one in sites])


def _holds(bound: Bound | None, truth: float) -> bool:
    assert bound is not None
    return bound.least - 1e-12 <= truth <= bound.greatest + 1e-12


@settings(deadline=None, max_examples=50)
@given(case=federation(), is_exact=st.booleans())
def test_the_pooled_auroc_lies_within_its_bound(
    case: tuple[int, list[Scored]], is_exact: bool
) -> None:
    min_cell, sites = case
    told = [_told(*one, min_cell) for one in sites]
    if is_exact:
        exact = [float(roc_auc_score(*one)) for one in sites]
        told = [
            SiteScores(one.positives, one.negatives, Bound(value, value))
            for one, value in zip(told, exact, strict=True)
        ]
    found = pooled_auroc(told)
    assert _holds(found, float(roc_auc_score(*_all(sites))))
    backwards = pooled_auroc(told[::-1])
    assert found is not None
    assert backwards is not None
    assert (backwards.least, backwards.greatest) == pytest.approx((found.least, found.greatest))


@settings(deadline=None, max_examples=100)
@given(case=federation())
def test_the_pooled_auprc_lies_within_its_bound(case: tuple[int, list[Scored]]) -> None:
    min_cell, sites = case
    found = pooled_auprc([_told(*one, min_cell) for one in sites])
    assert _holds(found, float(average_precision_score(*_all(sites))))


@settings(deadline=None, max_examples=100)
@given(case=federation(), threshold=st.sampled_from([0.001, 0.1, 0.5, 2 / 3, 0.99]))
def test_numbers_at_a_threshold_lie_within_their_bounds(
    case: tuple[int, list[Scored]], threshold: float
) -> None:
    min_cell, sites = case
    found = at_threshold([_told(*one, min_cell) for one in sites], threshold)
    labels, scores = _all(sites)
    yes, cell = scores >= threshold, min_cell
    if found.sensitivity is not None:
        assert _holds(found.sensitivity, float(yes[labels == 1].mean()))
        assert cell <= (yes & (labels == 1)).sum() <= (labels == 1).sum() - cell
    if found.specificity is not None:
        assert _holds(found.specificity, float((~yes)[labels == 0].mean()))
        assert cell <= (yes & (labels == 0)).sum() <= (labels == 0).sum() - cell
    if found.ppv is not None:
        assert _holds(found.ppv, float(labels[yes].mean()))
        assert min((yes & (labels == k)).sum() for k in (0, 1)) >= cell


@settings(deadline=None, max_examples=200)
@given(case=federation())
def test_every_bin_holds_min_cell_and_tells_no_more_than_its_multiple(
    case: tuple[int, list[Scored]],
) -> None:
    min_cell, sites = case
    for labels, scores in sites:
        own = np.sort(places_of(scores[labels == 1]))
        told = ScoreHistogram.of(scores[labels == 1], min_cell)
        assert told.fault() == ""
        assert told.num % min_cell == 0
        assert 0 <= own.size - told.num < min_cell
        sizes = told.sizes[own.size - told.num].astype(int)
        assert sizes.sum() == own.size
        assert sizes.min() >= min_cell
        ends = np.cumsum(sizes)
        for k, (begin, end) in enumerate(zip(ends - sizes, ends, strict=True)):
            inside = own[begin:end]
            assert told.lows[k] <= inside[0] <= inside[-1] < told.highs[k]
            assert abs(inside.mean() - told.means[k]) <= 0.5 + 1e-6
            mean_square = ((inside - told.means[k]) ** 2).mean()
            assert mean_square <= told.deviations[k] ** 2 + 1e-6
        # Neither the least nor the greatest score leaves.
        assert (told.lows[0], told.highs[-1]) == (0, NUM_CELLS)


@settings(deadline=None, max_examples=100)
@given(data=st.data(), num=st.integers(1, 8))
def test_a_mean_with_unknown_weights_lies_within_its_bound(data: st.DataObject, num: int) -> None:
    unit, weight = st.floats(0, 1), st.floats(0.1, 100)
    pairs = [sorted((data.draw(unit), data.draw(unit))) for _ in range(num)]
    ranges = [sorted((data.draw(weight), data.draw(weight))) for _ in range(num)]
    found = mean_bound([Bound(*p) for p in pairs], [Bound(*r) for r in ranges])
    generator = np.random.default_rng(data.draw(st.integers(0, 999)))
    for _ in range(20):
        at, corner = generator.random(num), generator.integers(0, 2, num)
        values = [p[0] + t * (p[1] - p[0]) for p, t in zip(pairs, at, strict=True)]
        weights = [r[k] for r, k in zip(ranges, corner, strict=True)]
        assert found.least - 1e-9 <= np.average(values, weights=weights) <= found.greatest + 1e-9


def _hospital(generator: np.random.Generator, positives: int, negatives: int) -> Scored:
    labels = np.repeat([1.0, 0.0], [positives, negatives])
    shift = generator.normal(0, 0.3)
    logits = -2 + shift + 1.2 * labels + generator.normal(size=labels.size)
    return labels, 1 / (1 + np.exp(-logits))


def test_two_thousand_positives_at_one_site_leave_less_than_half_a_point() -> None:
    labels, scores = _hospital(np.random.default_rng(1), 2_003, 18_007)
    told = _told(labels, scores, 11)
    # From the histograms alone; with the site's own AUROC nothing would be open.
    bound = rank_bound(told.positives, told.negatives)
    assert _holds(bound, float(roc_auc_score(labels, scores)))
    assert bound.half_width < 0.005


def test_two_thousand_positives_over_five_sites_leave_less_than_half_a_point() -> None:
    generator = np.random.default_rng(2)
    sites = [_hospital(generator, 395 + 3 * k, 3_600 + k) for k in range(5)]
    told = []
    for labels, scores in sites:
        own = float(roc_auc_score(labels, scores))
        one = _told(labels, scores, 11)
        told.append(SiteScores(one.positives, one.negatives, Bound(own - 5e-5, own + 5e-5)))
    found = pooled_auroc(told)
    assert found is not None
    assert _holds(found, float(roc_auc_score(*_all(sites))))
    assert found.half_width < 0.005


def test_nothing_told_means_nothing_pooled() -> None:
    assert pooled_auroc([]) is None
    assert pooled_auprc([]) is None
