"""Each loss against an independent reference: torch's own, formulas in plain numbers, or a
likelihood reckoned interval by interval."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import huber
from torch.nn import functional

from fedehr_shared.config.loss import LossConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.model.heads.class_loss import ClassLoss
from fedehr_shared.model.heads.hazard import HazardLoss
from fedehr_shared.model.heads.multitask import MultitaskLoss
from fedehr_shared.model.heads.outputs import logits_of, predictions_of
from fedehr_shared.model.heads.regression import DELTA, RegressionLoss
from fedehr_shared.wire.task_balance import TaskBalance

ENDS = (24.0, 48.0, 96.0, 240.0)
TASKS: dict[str, dict[str, Any]] = {
    "death": {},
    "class": {"kind": "multiclass", "classes": ["a", "b", "c"]},
    "days": {"kind": "regression", "center": 5.0, "scale": 2.0},
    "hours": {"kind": "time_to_event", "interval_ends_hours": ENDS},
}
CONFIGS = [TaskConfig.model_validate(task) for task in TASKS.values()]
seeds = st.integers(0, 2**31)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def make_study(**loss: Any) -> StudyConfig:
    tasks = {name: dict(task) for name, task in TASKS.items() if task}
    for name, weight in loss.pop("weights", {}).items():
        tasks.setdefault(name, {})["weight"] = weight
    values = {"name": "any", "finetuning": {"tasks": list(TASKS)}, "tasks": tasks, "loss": loss}
    return StudyConfig.model_validate(values)


def draw(seed: int, num: int, missing: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels of all four kinds, in double precision."""
    generator = np.random.default_rng(seed)
    hours = generator.choice([*ENDS, 12.0, 36.0, 72.0, 1e-3, 500.0], num)
    labels = np.stack(
        [
            generator.integers(0, 2, num),
            generator.integers(0, 3, num),
            generator.normal(5, 6, num),
            hours * generator.choice([-1, 1], num),
        ],
        axis=1,
    )
    labels[generator.random(labels.shape) < missing] = np.nan
    logits = generator.normal(scale=2.0, size=(num, 1 + 3 + 1 + len(ENDS)))
    return torch.from_numpy(logits), torch.from_numpy(labels)


@settings(deadline=None, max_examples=60)
@given(seed=seeds, smoothing=st.floats(0, 0.49), classes=st.integers(2, 6))
def test_cross_entropy_is_that_of_torch(seed: int, smoothing: float, classes: int) -> None:
    generator = np.random.default_rng(seed)
    weights = torch.from_numpy(generator.uniform(0.1, 5, classes))
    logits = torch.from_numpy(generator.normal(size=(9, classes)))
    labels = torch.from_numpy(generator.integers(0, classes, 9))
    loss = ClassLoss(LossConfig(label_smoothing=smoothing), weights.tolist())
    # torch spreads its smoothing over all classes, the label's own too.
    expected = weights.float().double()[labels] * functional.cross_entropy(
        logits, labels, reduction="none", label_smoothing=smoothing * classes / (classes - 1)
    )
    torch.testing.assert_close(loss(logits, labels.double()), expected)
    if classes == 2:
        one = loss((logits[:, 1] - logits[:, 0])[:, None], labels.double())
        torch.testing.assert_close(one, expected)


@settings(deadline=None, max_examples=60)
@given(logit=st.floats(-30, 30), label=st.integers(0, 1), gamma=st.sampled_from([0.5, 1.0, 2.0, 5]))
def test_focal_loss_is_its_formula(logit: float, label: int, gamma: float) -> None:
    loss = ClassLoss(LossConfig(kind="focal", focal_gamma=gamma), (1.0, 1.0))
    given_logit = torch.tensor([[logit]], dtype=torch.float64, requires_grad=True)
    found = loss(given_logit, torch.tensor([float(label)]))
    towards = logit if label else -logit
    expected = (1 + math.exp(towards)) ** -gamma * math.log1p(math.exp(-towards))
    assert float(found.detach()) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    found.sum().backward()
    assert given_logit.grad is not None
    assert bool(given_logit.grad.isfinite().all())


@settings(deadline=None, max_examples=60)
@given(value=st.floats(-1e5, 1e5), output=st.floats(-50, 50), scale=st.floats(0.1, 100))
def test_regression_is_hubers_loss_in_units_of_scale(
    value: float, output: float, scale: float
) -> None:
    loss = RegressionLoss(7.0, scale)
    labels = torch.tensor([value], dtype=torch.float64)
    found = float(loss(torch.tensor([[output]], dtype=torch.float64), labels))
    assert found == pytest.approx(float(huber(DELTA, (value - 7.0) / scale - output)), rel=1e-9)


def survival_likelihood(hazards: list[float], hours: float, has_event: bool) -> float:
    """The chance of what was seen, by walking through the intervals."""
    chance, begin = 1.0, 0.0
    for hazard, end in zip(hazards, ENDS, strict=True):
        if has_event and hours <= end:
            return chance * hazard
        if not has_event and hours < (begin + end) / 2:
            return chance
        chance *= 1 - hazard
        begin = end
    return chance


@settings(deadline=None, max_examples=150)
@given(
    logits=st.lists(st.floats(-6, 6), min_size=len(ENDS), max_size=len(ENDS)),
    hours=st.floats(1e-3, 400) | st.sampled_from([*ENDS, 12.0, 36.0, 72.0, 168.0]),
    has_event=st.booleans(),
)
def test_hazards_are_fitted_by_the_likelihood(
    logits: list[float], hours: float, has_event: bool
) -> None:
    hours = float(np.float32(hours))
    hazards = [1 / (1 + math.exp(-logit)) for logit in logits]
    label = torch.tensor([hours if has_event else -hours], dtype=torch.float32)
    found = HazardLoss(ENDS)(torch.tensor([logits], dtype=torch.float64), label)
    expected = -math.log(survival_likelihood(hazards, hours, has_event))
    assert float(found) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_best_hazards_are_the_shares_of_the_life_table() -> None:
    """Kaplan and Meier's estimate, which the likelihood must have its top at."""
    hours = torch.tensor([20.0, 30, 40, 60, 60, -12, -36, -300, -300, 500])
    logits = torch.zeros(1, len(ENDS), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12)
    loss = HazardLoss(ENDS)

    def total() -> torch.Tensor:
        optimizer.zero_grad()
        found: torch.Tensor = loss(logits.expand(hours.numel(), -1), hours).sum()
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimizer.step(total)  # type: ignore[no-untyped-call]
    # Who was censored at the very middle of an interval was at risk in it.
    found = torch.sigmoid(logits.detach())[0, :3].tolist()
    assert found == pytest.approx([1 / 10, 2 / 8, 2 / 5], abs=1e-4)


@settings(deadline=None, max_examples=60)
@given(seed=seeds)
def test_predictions_are_chances_and_lead_back_to_logits(seed: int) -> None:
    logits, _ = draw(seed, 7)
    told = predictions_of(logits, CONFIGS)
    torch.testing.assert_close(told[:, 1:4].sum(dim=1), torch.ones(7, dtype=torch.float64))
    incidence = told[:, 5:]
    assert bool((incidence.diff(dim=1) > 0).all())
    hazards = torch.sigmoid(logits[:, 5:])
    torch.testing.assert_close(incidence, 1 - (1 - hazards).cumprod(dim=1))
    back = predictions_of(logits_of(told, CONFIGS), CONFIGS)
    torch.testing.assert_close(back, told, rtol=1e-7, atol=1e-9)


LOSSES: list[dict[str, Any]] = [
    {},
    {"kind": "focal", "label_smoothing": 0.1},
    {"task_weights": "fixed", "weights": {"class": 3.0, "days": 0.0}},
    {"task_weights": "uncertainty"},
    {"task_weights": "dynamic", "class_weights": "balanced"},
]
BALANCE = TaskBalance((0.4, 0.3, 0.2, 0.1), {"death": (0.9, 0.1), "class": (0.5, 0.3, 0.2)})


@settings(deadline=None, max_examples=40)
@given(seed=seeds, num=st.integers(1, 12), missing=st.sampled_from([0.0, 0.4, 1.0]))
@pytest.mark.parametrize("loss", LOSSES)
def test_a_missing_label_of_any_kind_moves_nothing(
    loss: dict[str, Any], seed: int, num: int, missing: float
) -> None:
    logits, labels = draw(seed, num, missing)
    logits.requires_grad_()
    study = make_study(**loss)
    balance = BALANCE if "dynamic" in loss.values() else None
    variances = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    learnt = variances if "uncertainty" in loss.values() else None
    known = ~labels.isnan()
    total = MultitaskLoss(study, balance)(logits, labels, known.sum(dim=0), learnt)
    total.backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    for task, own in enumerate([slice(0, 1), slice(1, 4), slice(4, 5), slice(5, 9)]):
        assert not bool(logits.grad[~known[:, task], own].any())
        is_seen = known[:, task].any() and learnt is not None
        assert variances.grad is None or bool(variances.grad[task]) <= bool(is_seen)
    changed = torch.where(known, labels, torch.full_like(labels, torch.nan))
    assert float(total.detach()) == float(
        MultitaskLoss(study, balance)(logits, changed, known.sum(dim=0), learnt).detach()
    )
    assert (float(total.detach()) == 0.0) == (not bool(known.any())) or loss.get("weights")


@settings(deadline=None, max_examples=30)
@given(seed=seeds)
def test_weights_weigh_the_mean_losses_of_the_tasks(seed: int) -> None:
    logits, labels = draw(seed, 40)
    counts = (~labels.isnan()).sum(dim=0)
    by_task = MultitaskLoss(make_study()).by_task(logits, labels)
    expected = {
        "equal": by_task.mean(),
        "fixed": (by_task * torch.tensor([1.0, 3.0, 0.0, 1.0]) / 5).sum(),
        "dynamic": (by_task * torch.tensor(BALANCE.weights)).sum(),
    }
    weights = {"class": 3.0, "days": 0.0}
    for kind, wanted in expected.items():
        study = make_study(task_weights=kind, **({"weights": weights} if kind == "fixed" else {}))
        balance = BALANCE if kind == "dynamic" else None
        found = MultitaskLoss(study, balance)(logits, labels, counts)
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9)
    variances = torch.tensor([0.0, 1.0, -1.0, 2.0], dtype=torch.float64)
    found = MultitaskLoss(make_study(task_weights="uncertainty"))(logits, labels, counts, variances)
    wanted = ((-variances).exp() * by_task + variances / 2).mean()
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9)


def test_learnt_variances_come_to_twice_the_loss() -> None:
    """Where exp(-s) L + s / 2 is least: exp(s) = 2 L."""
    logits, labels = draw(3, 50, 0.0)
    study = make_study(task_weights="uncertainty")
    loss, counts = MultitaskLoss(study), torch.full((4,), 50)
    variances = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([variances], max_iter=100)

    def total() -> torch.Tensor:
        optimizer.zero_grad()
        found: torch.Tensor = loss(logits, labels, counts, variances)
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimizer.step(total)  # type: ignore[no-untyped-call]
    by_task = loss.by_task(logits, labels)
    torch.testing.assert_close(variances.detach().exp(), 2 * by_task, rtol=1e-3, atol=0.0)


def test_balanced_classes_weigh_the_same_in_all() -> None:
    study = make_study(class_weights="balanced")
    logits = torch.zeros(100, 9, dtype=torch.float64)
    labels = torch.full((100, 4), torch.nan, dtype=torch.float64)
    labels[:, 0] = (torch.arange(100) < 10).double()
    loss = MultitaskLoss(study, BALANCE)
    counts = (~labels.isnan()).sum(dim=0)
    positive = loss(logits[:10], labels[:10], counts)
    negative = loss(logits[10:], labels[10:], counts)
    assert float(positive) == pytest.approx(float(negative), rel=1e-6)
    own = {**TASKS["death"], "class_weights": [1.0, 7.0]}
    tasks = {**{name: task for name, task in TASKS.items() if task}, "death": own}
    study = StudyConfig.model_validate({**study.model_dump(mode="json"), "tasks": tasks})
    shares = TaskBalance(class_shares={"class": (0.5, 0.3, 0.2)})
    heavier = MultitaskLoss(study, shares)(logits[:10], labels[:10], counts)
    lighter = MultitaskLoss(study, shares)(logits[10:], labels[10:], counts)
    assert float(heavier / 10 / (lighter / 90)) == pytest.approx(7.0)
