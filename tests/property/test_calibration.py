"""Calibration, regression and time-to-event metrics against references, weighted and not."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from fedehr_shared.metrics.binary import Metric
from fedehr_shared.metrics.calibration import (
    calibration_error,
    calibration_intercept,
    calibration_slope,
    num_bins_allowed,
)
from fedehr_shared.metrics.concordance import concordance
from fedehr_shared.metrics.recalibration import fit_line, log_odds, sigmoid
from fedehr_shared.metrics.regression import REGRESSION_METRICS
from fedehr_shared.metrics.softmax_temperature import fit_inverse_temperature, sharpened

Floats = NDArray[np.float64]
seeds = st.integers(0, 10**6)


def _outcomes(seed: int, num: int, slope: float, intercept: float) -> tuple[Floats, Floats]:
    """Outcomes of which the log-odds are off by a known line."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1, 1.5, num)
    labels = (generator.random(num) < sigmoid(slope * logits + intercept)).astype(float)
    labels[:2] = 0.0, 1.0
    return labels, sigmoid(logits)


def _once(metric: Metric, labels: Floats, values: Floats) -> float:
    return float(metric(labels, values, np.ones((1, labels.size)))[0])


@settings(deadline=None, max_examples=40)
@given(seed=seeds, slope=st.floats(0.2, 3), intercept=st.floats(-1, 1))
def test_slope_and_intercept_are_those_of_scikit_learn(
    seed: int, slope: float, intercept: float
) -> None:
    labels, scores = _outcomes(seed, 300, slope, intercept)
    weights = np.random.default_rng(seed).integers(0, 3, labels.size)
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    reference.fit(log_odds(scores)[:, None], labels, sample_weight=weights)
    given_weights = weights[None, :].astype(float)
    found = calibration_slope(labels, scores, given_weights)[0]
    offset = calibration_intercept(labels, scores, given_weights)[0]
    assert found == pytest.approx(reference.coef_[0, 0], abs=1e-4)
    assert offset == pytest.approx(reference.intercept_[0], abs=1e-4)


@settings(deadline=None, max_examples=20)
@given(seed=seeds)
def test_a_temperature_is_the_slope_without_intercept(seed: int) -> None:
    labels, scores = _outcomes(seed, 300, 0.5, 0.3)
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000, fit_intercept=False)
    reference.fit(log_odds(scores)[:, None], labels)
    once = np.ones((1, labels.size))
    slope, intercept = fit_line(labels, log_odds(scores), once, has_intercept=False)
    assert slope[0] == pytest.approx(reference.coef_[0, 0], abs=1e-4)
    assert intercept[0] == 0.0


@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), ([0, 1, 0, 1], [0.3] * 4),
        ([1, 1, 1, 1], [0.1, 0.2, 0.8, 0.9]), ([0, 0, 0, 0], [0.1, 0.2, 0.8, 0.9]),
    ],
)  # fmt: skip
def test_where_no_slope_is_best_none_is_told(labels: list[int], scores: list[float]) -> None:
    assert np.isnan(_once(calibration_slope, np.asarray(labels, float), np.asarray(scores)))


def test_each_replicate_is_fitted_as_if_alone() -> None:
    labels, scores = _outcomes(3, 200, 0.7, 0.2)
    weights = np.random.default_rng(1).integers(0, 3, (30, 200)).astype(float)
    weights[7] = labels  # of one class alone
    together = calibration_slope(labels, scores, weights)
    alone = [calibration_slope(labels, scores, one[None, :])[0] for one in weights]
    np.testing.assert_allclose(together, alone, rtol=1e-6)
    assert np.isnan(together[7])


@settings(deadline=None, max_examples=40)
@given(seed=seeds, num_bins=st.integers(1, 20), num=st.integers(20, 300))
def test_the_calibration_error_is_that_over_equal_masses(
    seed: int, num_bins: int, num: int
) -> None:
    labels, scores = _outcomes(seed, num * num_bins, 0.6, 0.4)
    assert np.unique(scores).size == scores.size
    observed, predicted = calibration_curve(labels, scores, n_bins=num_bins, strategy="quantile")
    # With a number of subjects that the bins divide, each weighs the same.
    expected = float(np.mean(np.abs(observed - predicted)))
    found = _once(calibration_error(num_bins), labels, scores)
    # Quantiles are interpolated: a subject at an edge may fall on the other side.
    assert found == pytest.approx(expected, abs=2 / num)


@settings(deadline=None)
@given(num=st.integers(1, 10_000), most=st.integers(2, 100), min_cell=st.integers(1, 50))
def test_no_calibration_bin_is_below_min_cell(num: int, most: int, min_cell: int) -> None:
    bins = num_bins_allowed(num, most, min_cell)
    assert 1 <= bins <= most
    assert bins == 1 or num // bins >= min_cell


@settings(deadline=None, max_examples=40)
@given(seed=seeds, num=st.integers(3, 100), grain=st.sampled_from([1, 1_000]))
def test_regression_metrics_are_those_of_scikit_learn_and_scipy(
    seed: int, num: int, grain: int
) -> None:
    generator = np.random.default_rng(seed)
    labels = np.round(generator.normal(size=num) * 3 * grain) / grain
    labels[:2] = 0.0, 1.0
    values = np.round((labels + generator.normal(size=num)) * grain) / grain
    weights = generator.integers(0, 4, num)
    weights[:2] = 1
    repeated, predicted = np.repeat(labels, weights), np.repeat(values, weights)
    expected = {
        "mae": mean_absolute_error(repeated, predicted),
        "rmse": root_mean_squared_error(repeated, predicted),
        "r2": r2_score(repeated, predicted),
    }
    if np.ptp(predicted) > 0:
        expected["spearman"] = spearmanr(repeated, predicted).statistic
    for name, value in expected.items():
        found = REGRESSION_METRICS[name](labels, values, weights[None, :].astype(float))
        assert found[0] == pytest.approx(value, abs=1e-9), name


def _concordance(hours: Floats, risks: Floats) -> float:
    won = compared = 0.0
    for one, other in product(range(hours.size), repeat=2):
        if hours[one] <= 0:
            continue
        time, later = hours[one], abs(hours[other])
        if time < later or (time == later and hours[other] < 0):
            compared += 1
            won += 1.0 if risks[one] > risks[other] else 0.5 * (risks[one] == risks[other])
    return won / compared if compared else float("nan")


@settings(deadline=None, max_examples=40)
@given(seed=seeds, num=st.integers(2, 40))
def test_concordance_is_harrells(seed: int, num: int) -> None:
    generator = np.random.default_rng(seed)
    hours = generator.integers(1, 12, num) * generator.choice([-1.0, 1.0], num)
    risks = np.round(generator.random(num), 1)
    weights = generator.integers(0, 3, (2, num))
    found = concordance(hours, risks, weights.astype(float))
    for replicate, drawn in enumerate(weights):
        expected = _concordance(np.repeat(hours, drawn), np.repeat(risks, drawn))
        assert found[replicate] == pytest.approx(expected, nan_ok=True)


@settings(deadline=None, max_examples=20)
@given(seed=seeds, truth=st.floats(0.3, 3.0))
def test_a_temperature_over_classes_is_the_likeliest(seed: int, truth: float) -> None:
    generator = np.random.default_rng(seed)
    told = sharpened(generator.dirichlet(np.ones(4), 400), 1.0)
    right = sharpened(told, truth)
    labels = (generator.random(400)[:, None] > np.cumsum(right, axis=1)).sum(axis=1).clip(0, 3)
    found = fit_inverse_temperature(labels, told)

    def loss(factor: float) -> float:
        return float(-np.log(sharpened(told, factor)[np.arange(400), labels]).mean())

    assert loss(found) <= min(loss(found * 1.01), loss(found / 1.01), loss(truth)) + 1e-9


@settings(deadline=None, max_examples=40)
@given(seed=seeds, size=st.sampled_from([4.0, 8.0, 16.0, 40.0]), has_intercept=st.booleans())
def test_a_model_that_is_far_too_sure_has_its_slope(
    seed: int, size: float, has_intercept: bool
) -> None:
    """Where calibration matters most: one in seven is wrong, however sure the model was."""
    generator = np.random.default_rng(seed)
    logits = np.clip(generator.normal(-1, size, 120), -16, 16)
    is_wrong = np.arange(120) % 7 == 0
    labels = ((logits > 0) ^ is_wrong).astype(float)
    reference = LogisticRegression(
        C=np.inf, tol=1e-10, max_iter=10_000, fit_intercept=has_intercept
    ).fit(logits[:, None], labels)
    once = np.ones((1, labels.size))
    slope, intercept = fit_line(labels, logits, once, has_intercept=has_intercept)
    assert slope[0] == pytest.approx(reference.coef_[0, 0], abs=1e-4)
    assert intercept[0] == pytest.approx(np.ravel(reference.intercept_)[0], abs=1e-4)
