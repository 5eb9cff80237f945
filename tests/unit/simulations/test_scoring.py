"""Scores of a comparison: what is told, what is withheld, and the sign of a difference."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from fedehr_simulations.outcome.held_out import HeldOut
from fedehr_simulations.outcome.scoring import (
    Rules,
    TaskData,
    paired_difference,
    score_task,
    task_data,
)

RULES = Rules(min_cell=5, num_bootstraps=300)
SITES = ("large", "medium", "small")


def _held_out(sizes: tuple[int, int, int] = (80, 40, 12), positive: float = 0.4) -> HeldOut:
    num = sum(sizes)
    labels = (np.random.default_rng(0).random(num) < positive).astype(float)
    return HeldOut(
        tasks=("death",),
        site_names=SITES,
        sites=np.repeat(SITES, sizes),
        subject_ids=np.arange(num),
        times=np.zeros(num, dtype=np.int64),
        labels=labels[:, None],
    )


def _model(held_out: HeldOut, skill: float, seed: int = 1) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(size=held_out.labels.shape)
    return np.asarray(1 / (1 + np.exp(-(skill * (held_out.labels - 0.5) + noise))))


def _data(held_out: HeldOut, *seeds: NDArray[np.float64]) -> TaskData:
    return task_data(held_out, 0, seeds)


def test_figures_are_the_metrics_of_these_subjects() -> None:
    held_out = _held_out()
    first, second = _model(held_out, 2.0), _model(held_out, 2.0, seed=2)
    found = score_task(_data(held_out, first, second), SITES, RULES, missing={})
    labels = held_out.labels[:, 0]
    seeds = [roc_auc_score(labels, model[:, 0]) for model in (first, second)]
    assert found.auroc.value == pytest.approx(np.mean(seeds))
    assert found.per_seed.auroc == pytest.approx(seeds)
    assert (found.num, found.num_positive) == (labels.size, int(labels.sum()))
    large = held_out.sites == "large"
    once = score_task(_data(held_out, first), SITES, RULES, missing={}).per_site["large"]
    pairs = labels[large], first[large, 0]
    assert once.auprc.value == pytest.approx(average_precision_score(*pairs))
    assert once.brier.value == pytest.approx(brier_score_loss(*pairs))
    assert once.num == int(large.sum())


def test_a_small_site_is_withheld_and_cannot_be_found_by_subtraction() -> None:
    held_out = _held_out(sizes=(80, 40, 4))
    found = score_task(_data(held_out, _model(held_out, 2.0)), SITES, RULES, missing={})
    small, medium = found.per_site["small"], found.per_site["medium"]
    assert small.auroc.value is None
    assert small.auroc.reason == "fewer than 5 positives or negatives"
    assert medium.num is None
    assert medium.auroc.value is not None
    assert found.per_site["large"].num == 80


def test_too_few_positives_over_all_sites_withhold_everything() -> None:
    held_out = _held_out(positive=0.02)
    found = score_task(_data(held_out, _model(held_out, 2.0)), SITES, RULES, missing={})
    assert held_out.labels.sum() < RULES.min_cell
    assert found.auroc.value is None
    assert found.per_seed.auroc == ()
    assert {scores.num for scores in found.per_site.values()} == {None}


def test_a_site_without_a_model_says_why_and_leaves_the_pool() -> None:
    held_out = _held_out()
    model = _model(held_out, 2.0)
    model[held_out.sites == "medium"] = np.nan
    found = score_task(_data(held_out, model), SITES, RULES, missing={"medium": "too few subjects"})
    assert found.per_site["medium"].reason == "too few subjects"
    assert found.num == int((held_out.sites != "medium").sum())


def test_no_model_at_all_is_no_crash() -> None:
    held_out = _held_out()
    nothing = np.full(held_out.labels.shape, np.nan)
    missing = dict.fromkeys(SITES, "too few subjects")
    found = score_task(_data(held_out, nothing), SITES, RULES, missing=missing)
    assert found.auroc.value is None
    assert {scores.reason for scores in found.per_site.values()} == {"too few subjects"}


def test_a_difference_is_ours_minus_theirs_on_the_same_replicates() -> None:
    held_out = _held_out()
    good, bad = _data(held_out, _model(held_out, 3.0)), _data(held_out, _model(held_out, 0.0))
    better = paired_difference(good, bad, "auroc", RULES)
    assert better.value is not None
    assert better.low is not None
    assert better.low > 0
    worse = paired_difference(bad, good, "auroc", RULES)
    assert worse.value == pytest.approx(-better.value)
    assert worse.high == pytest.approx(-better.low)
    same = paired_difference(good, good, "auroc", RULES)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_rows_of_one_subject_are_drawn_together() -> None:
    held_out = _held_out()
    twice = np.repeat(np.arange(len(held_out) // 2), 2)
    data = TaskData("death", held_out.sites, twice, held_out.labels[:, 0], ())
    weights = data.weights("somewhere", 50)
    assert (weights[:, ::2] == weights[:, 1::2]).all()
    assert (weights.sum(axis=1) == len(held_out)).all()
