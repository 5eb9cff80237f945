"""What a site tells of a model: exact where it may tell, nothing where it may not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from fedehr_client.answers.evaluation import evaluation_report, tuning_auroc
from fedehr_client.training.examples import Examples
from fedehr_shared.tokens.windows import Window, Windows


def _examples(labels: Any) -> Examples:
    table = np.asarray(labels, dtype=np.float32).reshape(len(labels), 2)
    ids = np.arange(len(labels), dtype=np.int64)
    return Examples(ids, np.zeros_like(ids), Windows.of([Window(0, 0)] * len(labels)), table)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6), positives=st.integers(0, 30), negatives=st.integers(0, 30),
    unknown=st.integers(0, 10),
)  # fmt: skip
def test_nothing_rests_on_a_small_class(
    make_study: Callable[..., Any], seed: int, positives: int, negatives: int, unknown: int
) -> None:
    study, generator = make_study(), np.random.default_rng(seed)
    labels = [[1.0, np.nan]] * positives + [[0.0, np.nan]] * negatives + [[np.nan, 1.0]] * unknown
    scores = generator.random((len(labels), 2))
    report = evaluation_report("north", study, _examples(labels), scores, 11)
    told = tuning_auroc(study, _examples(labels), scores, 11)
    if min(positives, negatives) < 11:
        assert (report.metrics, report.scores, told) == ({}, {}, {})
        return
    truth, given_scores = [1] * positives + [0] * negatives, scores[: positives + negatives, 0]
    _, num_negative, num_positive = report.scores["death"]
    assert all(num % 11 == 0 for num in num_negative + num_positive)
    assert report.metrics["death.num"] == sum(num_negative + num_positive)
    assert 0 <= positives - report.metrics["death.num_positive"] < 11 * len(num_positive)
    for metric, reference in (
        ("auroc", roc_auc_score), ("auprc", average_precision_score), ("brier", brier_score_loss),
    ):  # fmt: skip
        value = report.metrics[f"death.{metric}"]
        assert value == pytest.approx(reference(truth, given_scores))
        low, high = (report.metrics[f"death.{metric}.{end}"] for end in ("low", "high"))
        assert low <= high
    assert told == {
        "tuning.death.auroc": pytest.approx(roc_auc_score(truth, given_scores)),
        "tuning.death.num": (positives + negatives) // 11 * 11,
    }
    assert set(report.scores) == {"death"}
    _, of_negatives, of_positives = report.scores["death"]
    assert all(n == 0 or n >= 11 for n in of_negatives + of_positives)
    assert not any(name.startswith("long_stay") for name in report.metrics)


def test_the_same_scores_give_the_same_report(make_study: Callable[..., Any]) -> None:
    generator = np.random.default_rng(1)
    labels = _examples(generator.integers(0, 2, (90, 2)))
    scores = generator.random((90, 2))
    once = evaluation_report("north", make_study(), labels, scores, 5)
    assert evaluation_report("north", make_study(), labels, scores, 5) == once
    # Another site draws other replicates.
    other = evaluation_report("south", make_study(), labels, scores, 5)
    assert other.metrics["death.auroc"] == once.metrics["death.auroc"]
    assert other.metrics["death.auroc.low"] != once.metrics["death.auroc.low"]
