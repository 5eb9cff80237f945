"""`minutes_per_round` in real time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from fedehr_client.compute.compute import Compute
from fedehr_client.training.loop import RoundContext, RoundTrainer
from fedehr_client.training.round import RoundResult
from fedehr_client.training.round_plan import RoundPlan
from fedehr_shared.config.optimization import OptimizationConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.weights import parameters_of

BATCH_SECONDS = 0.1


@dataclass(frozen=True)
class Points:
    """Inputs of a step."""

    inputs: torch.Tensor

    @property
    def num_tokens(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device) -> "Points":
        return self

    def pinned(self) -> "Points":
        return self

    def split(self, token_budget: int | None) -> Sequence["Points"]:
        return [self]


def _train(config: OptimizationConfig, min_cell: int) -> tuple[RoundPlan, RoundResult, float]:
    torch.set_num_threads(1)
    model = nn.Linear(3, 1)
    context = RoundContext(
        study=StudyConfig.model_validate({"name": "clock", "finetuning": {"tasks": ["death"]}}),
        site="site",
        round_number=1,
        num_tokens=2,
        weights=parameters_of(model),
        moments=None,
        compute=Compute(torch.device("cpu")),
    )
    plan = RoundPlan.of(config, np.arange(60), 1, seed=("clock",), min_cell=min_cell)

    def slow_batch(step: int) -> Points:
        time.sleep(BATCH_SECONDS)
        return Points(torch.ones(len(plan.rows(step)), 3))

    began = time.monotonic()
    result = RoundTrainer(model, config, lambda _: 1.0).run(
        context, slow_batch, lambda points: model(points.inputs).square().mean(), plan=plan
    )
    return plan, result, time.monotonic() - began


def test_a_round_ends_with_the_step_that_its_clock_meets() -> None:
    config = OptimizationConfig(rounds=1, steps_per_round=500, minutes_per_round=1.0 / 60)
    plan, result, seconds = _train(config, 1)
    assert plan.num_steps == 500
    # One step after the deadline, and the batches that were being made ahead.
    assert 1.0 <= seconds < 1.0 + 4 * BATCH_SECONDS + 0.5
    assert 2 <= result.num_steps <= 1.0 / BATCH_SECONDS + 1
    assert result.seconds == pytest.approx(seconds, abs=4 * BATCH_SECONDS + 0.5)
    assert result.learning_rate == plan.learning_rate(result.num_steps - 1)


def test_no_clock_ends_a_round_before_it_rests_on_enough_subjects() -> None:
    config = OptimizationConfig(rounds=1, steps_per_round=20, minutes_per_round=1e-9)
    plan, result, _ = _train(config, 11)
    assert plan.least_steps == 4
    assert result.num_steps == 4
    assert len({row for step in range(4) for row in plan.rows(step).tolist()}) >= 11


def test_a_round_that_is_quick_takes_all_its_steps() -> None:
    config = OptimizationConfig(rounds=1, steps_per_round=3, minutes_per_round=1.0)
    _, result, _ = _train(config, 1)
    assert result.num_steps == 3
