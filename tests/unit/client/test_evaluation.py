"""What a site tells of a model: exact where it may tell, nothing where it may not."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from fedehr_client.answers.evaluation import TuningSplit, evaluation_report, tuning_auroc
from fedehr_client.answers.subgroups import groups_of, groups_told
from fedehr_client.training.examples import Examples
from fedehr_server.phases.evaluation import EvaluationPhase
from fedehr_shared.config.evaluation import EvaluationConfig
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.metrics.outcomes import binary_views
from fedehr_shared.metrics.questions import SEXES, group_names
from fedehr_shared.metrics.recalibration import log_odds, sigmoid
from fedehr_shared.metrics.told_values import step_of
from fedehr_shared.tokens.back_off import BackOffShares
from fedehr_shared.tokens.store import HOURS_PER_YEAR, TokenStore
from fedehr_shared.tokens.windows import Window, Windows
from fedehr_shared.wire.reports import EvaluationReport

YEAR = int(HOURS_PER_YEAR * 3_600e6)
CLASSES = ("home", "care", "dead")
KINDS: dict[str, Any] = {
    "finetuning": {"tasks": ["death", "place", "days", "return"]},
    "tasks": {
        "place": {"kind": "multiclass", "classes": CLASSES},
        "days": {"kind": "regression"},
        "return": {"kind": "time_to_event", "interval_ends_hours": [24.0, 48.0]},
    },
}


def _examples(labels: Any, num_tasks: int = 2) -> Examples:
    table = np.asarray(labels, dtype=np.float32).reshape(len(labels), num_tasks)
    ids = np.arange(len(labels), dtype=np.int64)
    times = np.full_like(ids, 50 * YEAR)
    return Examples(ids, times, Windows.of([Window(0, 0)] * len(labels)), table)


def _store(sexes: NDArray[np.int64], ages: NDArray[np.float64]) -> TokenStore:
    """A store in which each subject was `ages` old after two years with records."""
    num = sexes.size
    return TokenStore(
        tokens=np.zeros(num, np.int32),
        times=np.full(num, 48 * YEAR, np.int64),
        hours=np.zeros(num, np.float32),
        visits=np.zeros(num, np.int32),
        offsets=np.arange(num + 1, dtype=np.int64),
        subject_ids=np.arange(num, dtype=np.int64),
        first_ages=(ages - 2).astype(np.float32),
        sexes=sexes.astype(np.uint8),
        back_off=BackOffShares(None, None, None, None),
    )


@settings(deadline=None, max_examples=40)
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
    counts = [positives // 11 * 11, negatives // 11 * 11]
    assert report.metrics["death.num_positive"] == counts[0]
    assert report.metrics["death.num"] == sum(counts)
    step = step_of(*counts)
    for metric, reference in (
        ("auroc", roc_auc_score), ("auprc", average_precision_score), ("brier", brier_score_loss),
    ):  # fmt: skip
        value = report.metrics[f"death.{metric}"]
        assert value == pytest.approx(reference(truth, given_scores), abs=step / 2 + 1e-9)
        low, high = (report.metrics[f"death.{metric}.{end}"] for end in ("low", "high"))
        assert low <= high
    assert told == {
        "tuning.death.auroc": report.metrics["death.auroc"],
        "tuning.death.num": (positives + negatives) // 11 * 11,
    }
    assert set(report.scores) == {"death"}
    assert not any(name.startswith("long_stay") for name in report.metrics)
    # What is told is told so that each number of subjects that it allows could have told it.
    auroc = report.metrics["death.auroc"]
    for more, others in product(range(11), repeat=2):
        pairs = 2 * (counts[0] + more) * (counts[1] + others)
        nearest = round(auroc * pairs) / pairs
        assert abs(nearest - auroc) <= step / 2 + 1e-9


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


@settings(deadline=None, max_examples=300)
@given(
    counts=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=7),
    min_cell=st.sampled_from([5, 11]),
)
def test_no_small_group_is_the_whole_less_the_groups_told(
    counts: list[tuple[int, int]], min_cell: int
) -> None:
    table = np.asarray(counts)
    told = groups_told(table, min_cell)
    assert (table[told] >= min_cell).all()
    hidden = table[~told].sum(axis=0)
    # Where nothing is told, the whole may not be either.
    assert not told.any() or hidden.sum() == 0 or (hidden >= min_cell).all()
    # With enough in every group nothing is hidden.
    assert told.all() == (table >= min_cell).all()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), num=st.integers(60, 200), min_cell=st.sampled_from([5, 11]))
def test_everything_that_leaves_counts_in_multiples_and_hides_small_groups(
    make_study: Callable[..., Any], seed: int, num: int, min_cell: int
) -> None:
    generator = np.random.default_rng(seed)
    study = make_study(evaluation={"subgroups": ["sex", "age"], "age_bands_years": [18, 65]})
    labels = (generator.random((num, 2)) < generator.choice([0.2, 0.5])).astype(float)
    share = generator.dirichlet(np.ones(4))
    sexes = generator.choice(4, num, p=share)
    ages = np.where(generator.random(num) < 0.1, np.nan, generator.uniform(5, 95, num))
    store = _store(sexes, ages)
    examples = _examples(labels)
    scores = generator.random((num, 2))
    report = evaluation_report("north", study, examples, scores, min_cell, store=store)
    groups = groups_of(study.evaluation, store, examples)
    bands = np.where(np.isnan(ages), 3, np.digitize(ages, [18, 65]))
    assert groups["sex"].tolist() == sexes.tolist()
    assert groups["age"].tolist() == bands.tolist()
    counts = [v for k, v in report.metrics.items() if k.endswith((".num", ".num_positive"))]
    assert all(count % min_cell == 0 and count >= min_cell for count in counts)
    for task, column in (("death", 0), ("long_stay", 1)):
        if f"{task}.num" not in report.metrics:
            assert not any(name.startswith(task) for name in report.metrics)
            continue
        for kind, names in group_names(study.evaluation).items():
            rest = np.ones(num, dtype=bool)
            for place, name in enumerate(names):
                if f"{task}/{kind}/{name}.num" in report.metrics:
                    inside = groups[kind] == place
                    rest &= ~inside
                    own = report.metrics[f"{task}/{kind}/{name}.auroc"]
                    step = step_of(*(
                        int((labels[inside, column] == k).sum()) // min_cell * min_cell
                        for k in (0, 1)
                    ))  # fmt: skip
                    exact = roc_auc_score(labels[inside, column], scores[inside, column])
                    assert own == pytest.approx(exact, abs=step / 2 + 1e-9)
            left = [int((labels[rest, column] == k).sum()) for k in (0, 1)]
            assert rest.all() or sum(left) == 0 or min(left) >= min_cell
    # What an honest site tells, the coordinator takes.
    EvaluationPhase(
        make_study(
            vocabulary={"min_cell": min_cell},
            evaluation={"subgroups": ["sex", "age"], "age_bands_years": [18, 65]},
        )
    ).accept(report.to_payload())


def test_a_subject_without_records_is_of_unknown_sex_and_age(
    make_study: Callable[..., Any],
) -> None:
    config = make_study().evaluation
    store = _store(np.asarray([1, 2]), np.asarray([30.0, 90.0]))
    found = groups_of(config, store, _examples([[0.0, 0.0]] * 3))
    names = group_names(config)
    assert [SEXES[k] for k in found["sex"]] == ["female", "male", "unknown"]
    assert [names["age"][k] for k in found["age"]] == ["18 to 45", "80 up", "unknown"]


def _all_kinds(num: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Labels and predictions of a task of each kind; the binary one is twice too sure."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, num)
    death = generator.random(num) < sigmoid(0.5 * logits - 0.7)
    classes = generator.dirichlet(np.ones(3), num)
    place = (generator.random(num)[:, None] > np.cumsum(classes, axis=1)).sum(axis=1)
    days = generator.normal(5, 2, num)
    hours = generator.uniform(1, 72, num) * generator.choice([-1.0, 1.0], num)
    risk = np.sort(generator.random((num, 2)), axis=1)
    labels = np.stack([death, place, days, hours], axis=1)
    predictions = [sigmoid(logits)[:, None], classes, days[:, None] + 1.5, risk]
    return labels, np.concatenate(predictions, axis=1)


def test_every_kind_of_task_is_told_and_taken(make_study: Callable[..., Any]) -> None:
    study = make_study(**KINDS)
    labels, predictions = _all_kinds(400)
    report = evaluation_report("north", study, _examples(labels, 4), predictions, 5)
    told = report.metrics
    assert set(report.scores) == {"death", "return", *(f"place.{name}" for name in CLASSES)}
    correct = float((predictions[:, 1:4].argmax(axis=1) == labels[:, 1]).mean())
    assert told["place.accuracy"] == pytest.approx(correct, abs=1 / 390)
    assert told["days.mae"] == pytest.approx(1.5)
    assert told["days.spearman"] == pytest.approx(1.0)
    within = (labels[:, 3] > 0) & (labels[:, 3] <= 48)
    known = within | (np.abs(labels[:, 3]) >= 48)
    exact = roc_auc_score(within[known], predictions[known, 6])
    assert told["return.auroc"] == pytest.approx(exact, abs=1e-4)
    assert 0.3 < told["return.time.concordance"] < 0.7
    phase = EvaluationPhase(study)
    phase.accept(report.to_payload())
    summary = phase.close()
    assert summary["place"]["macro_auroc"]["value"] == pytest.approx(
        np.mean([told[f"place.{name}.auroc"] for name in CLASSES]), abs=1e-3
    )
    assert summary["days"]["worst_site"] == {
        "site": "north", "metric": "rmse", "value": told["days.rmse"],
    }  # fmt: skip


def test_a_class_that_is_hidden_is_not_what_the_others_leave(
    make_study: Callable[..., Any],
) -> None:
    study = make_study(**KINDS)
    labels, predictions = _all_kinds(300)
    dead = np.flatnonzero(labels[:, 1] == 2)
    labels[dead[3:], 1] = np.nan
    report = evaluation_report("north", study, _examples(labels, 4), predictions, 11)
    told = [name for name in CLASSES if f"place.{name}" in report.scores]
    assert len(told) == 1


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_a_calibration_mends_held_out_probabilities(
    make_study: Callable[..., Any], method: str
) -> None:
    study = make_study(**KINDS, evaluation={"calibration": method})
    labels, predictions = _all_kinds(1_500)
    tuning = TuningSplit(*(x.astype(t) for x, t in zip(
        _all_kinds(1_500, seed=1), (np.float32, np.float64), strict=True
    )))  # fmt: skip
    examples = _examples(labels, 4)
    told = evaluation_report("north", study, examples, predictions, 5, tuning=tuning).metrics
    plain = evaluation_report("north", study, examples, predictions, 5).metrics
    slope = told["calibration.death.slope"]
    assert (slope, told["calibration.death.intercept"]) == (round(slope, 3), pytest.approx(
        -0.7 if method == "platt" else 0.0, abs=0.2
    ))  # fmt: skip
    # The metrics before are those without any calibration; the order of scores stays.
    for metric in ("brier", "calibration_error", "calibration_slope", "calibration_intercept"):
        assert told[f"uncalibrated.death.{metric}"] == plain[f"death.{metric}"]
    assert told["death.auroc"] == plain["death.auroc"]
    assert told["death.brier"] < plain["death.brier"]
    if method == "platt":
        assert slope == pytest.approx(0.5, abs=0.1)
        assert told["death.calibration_slope"] == pytest.approx(1.0, abs=0.25)
        after = brier_score_loss(
            labels[:, 0],
            sigmoid(slope * log_odds(predictions[:, 0]) + told["calibration.death.intercept"]),
        )
        assert told["death.brier"] == pytest.approx(after, abs=1e-4)
    assert not any(name.startswith("calibration.days") for name in told)


def test_too_few_tuning_labels_leave_probabilities_as_they_are(
    make_study: Callable[..., Any],
) -> None:
    study = make_study(**KINDS, evaluation={"calibration": "platt"})
    labels, predictions = _all_kinds(200)
    few = np.full((200, 4), np.nan, dtype=np.float32)
    few[:12, 0] = [1, 0, 0, 0] * 3
    examples = _examples(labels, 4)
    tuning = TuningSplit(few, predictions)
    told = evaluation_report("north", study, examples, predictions, 5, tuning=tuning)
    assert told == evaluation_report("north", study, examples, predictions, 5)
    assert all(math.isfinite(value) for value in told.metrics.values())


def test_all_but_equal_scores_have_no_slope_and_the_rest_is_taken(
    make_study: Callable[..., Any],
) -> None:
    """A head that has hardly moved yet; its slope would be of millions."""
    generator = np.random.default_rng(0)
    labels = (generator.random((400, 1)) < 0.3).astype(float)
    study = make_study(finetuning={"tasks": ["death"]})
    scores = sigmoid(-1 + 1e-8 * generator.normal(size=(400, 1)))
    report = evaluation_report("north", study, _examples(labels, 1), scores, 5)
    assert "death.calibration_slope" not in report.metrics
    assert "death.auroc" in report.metrics
    EvaluationPhase(study).accept(report.to_payload())


def test_an_event_at_the_horizon_counts_in_the_precision_of_labels() -> None:
    task = TaskConfig(kind="time_to_event", interval_ends_hours=(0.7, 2.4))
    hours = np.asarray([2.4, -2.4, 2.5, -2.3], dtype=np.float32)
    (view,) = binary_views("death", task, hours, np.zeros((4, 2)))
    assert np.array_equal(view.labels, [1.0, 0.0, 0.0, np.nan], equal_nan=True)


def test_age_bands_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="six digits"):
        EvaluationConfig(age_bands_years=(65.000001, 65.000002))


def test_what_is_not_calibrated_by_its_kind_has_no_excuse(make_study: Callable[..., Any]) -> None:
    study = make_study(**KINDS, evaluation={"calibration": "platt"})
    labels, predictions = _all_kinds(200)
    split = TuningSplit(labels.astype(np.float32), predictions)
    phase = EvaluationPhase(study)
    examples = _examples(labels, 4)
    phase.accept(evaluation_report("a", study, examples, predictions, 5, tuning=split).to_payload())
    found = phase.close()
    assert "calibration" not in found["days"]
    assert found["death"]["calibration"]["a"]["slope"] is not None


def test_pooled_numbers_of_one_site_are_its_own(make_study: Callable[..., Any]) -> None:
    study = make_study(finetuning={"tasks": ["death"]})
    labels, predictions = _all_kinds(300)
    report = evaluation_report("a", study, _examples(labels[:, :1], 1), predictions[:, :1], 5)
    phase = EvaluationPhase(study)
    phase.accept(report.to_payload())
    phase.accept(EvaluationReport("b", 5, {}, {}).to_payload())
    pooled = phase.close()["death"]["pooled"]
    for metric in ("auroc", "auprc", "brier"):
        own = report.metrics[f"death.{metric}"]
        assert pooled[metric]["value"] == pytest.approx(own, abs=1e-6)
        assert pooled[metric]["greatest"] - pooled[metric]["least"] < 2e-4
