"""AUROC, AUPRC and Brier against scikit-learn, and their intervals."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from fedehr_shared.metrics.binary import METRICS
from fedehr_shared.metrics.intervals import bootstrap_weights, metric_interval, paired_interval

Scored = tuple[NDArray[np.float64], NDArray[np.float64]]
REFERENCES = {
    "auroc": roc_auc_score,
    "auprc": average_precision_score,
    "brier": brier_score_loss,
}


@st.composite
def scored(draw: st.DrawFn, least: int = 1) -> Scored:
    """Labels of both classes; scores with many ties, or none."""
    num = draw(st.integers(max(2, 2 * least), 120))
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    labels = np.zeros(num)
    labels[generator.permutation(num)[: draw(st.integers(least, num - least))]] = 1.0
    scores = generator.random(num) ** draw(st.sampled_from([0.2, 1.0, 5.0]))
    grain = draw(st.sampled_from([2, 10, 1_000, 10**9]))
    return labels, np.round(scores * grain) / grain


@settings(deadline=None)
@given(case=scored(), metric=st.sampled_from(sorted(METRICS)))
def test_a_metric_is_that_of_scikit_learn(case: Scored, metric: str) -> None:
    labels, scores = case
    found = METRICS[metric](labels, scores, np.ones((1, labels.size)))
    assert found[0] == pytest.approx(REFERENCES[metric](labels, scores), abs=1e-9)


@settings(deadline=None)
@given(case=scored(), metric=st.sampled_from(sorted(METRICS)), seed=st.integers(0, 999))
def test_integer_weights_are_repeated_rows(case: Scored, metric: str, seed: int) -> None:
    labels, scores = case
    weights = np.random.default_rng(seed).integers(0, 4, (3, labels.size))
    found = METRICS[metric](labels, scores, weights.astype(float))
    for replicate in range(3):
        repeated = np.repeat(labels, weights[replicate])
        if len(set(repeated.tolist())) < 2:
            continue
        expected = REFERENCES[metric](repeated, np.repeat(scores, weights[replicate]))
        assert found[replicate] == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(case=scored())
def test_auroc_without_a_class_is_not_a_number(case: Scored) -> None:
    labels, scores = case
    alone = METRICS["auroc"](np.ones_like(labels), scores, np.ones((1, labels.size)))
    assert np.isnan(alone[0])


@settings(deadline=None, max_examples=20)
@given(case=scored(least=10), metric=st.sampled_from(sorted(METRICS)))
def test_intervals_are_repeatable_and_a_model_does_not_differ_from_itself(
    case: Scored, metric: str
) -> None:
    labels, scores = case
    weights = bootstrap_weights(labels.size, 200, "site", "task")
    assert np.array_equal(weights, bootstrap_weights(labels.size, 200, "site", "task"))
    assert np.all(weights.sum(axis=1) == labels.size)
    interval = metric_interval(metric, labels, [scores], weights)
    assert interval.low <= interval.high
    paired = paired_interval(metric, labels, [scores], [scores], weights)
    assert (paired.value, paired.low, paired.high) == (0.0, 0.0, 0.0)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    # Normal scores one deviation apart: the true AUROC is Phi(1 / sqrt 2) = 0.7602.
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        labels = np.repeat([0.0, 1.0], 60)
        scores = generator.normal(labels, 1.0)
        weights = bootstrap_weights(labels.size, 200, "coverage")
        interval = metric_interval("auroc", labels, [scores], weights)
        covered += interval.low <= 0.76025 <= interval.high
    assert 175 <= covered <= 199


def test_replicates_of_a_large_hospital_take_no_more_than_their_weights() -> None:
    tracemalloc.start()
    weights = bootstrap_weights(50_000, 200, "large")
    labels = (np.arange(50_000) % 7 == 0).astype(float)
    interval = metric_interval("brier", labels, [np.full(50_000, 0.5)], weights)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (interval.low, interval.high) == (0.25, 0.25)
    assert weights.nbytes == 20_000_000
    assert peak < weights.nbytes + 70e6
