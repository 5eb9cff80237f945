"""How much of a private step is in memory at once."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fedehr_client.compute.compute import CHECKPOINTING, TOKEN_BUDGET, Compute
from fedehr_client.training.private_fitting import CPU_TOKEN_BUDGET, fit_private_round
from fedehr_client.training.round import RoundContext
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.tuning.plan import TuningPlan

PROGRAM = Path(__file__).with_name("measured_private_memory.py")
NUM_TOKENS = 200
AUTO = Compute(torch.device("cpu"), to_fit=frozenset({TOKEN_BUDGET, CHECKPOINTING}))


def _context(tuning: str, compute: Compute, context: int = 64) -> RoundContext:
    study = StudyConfig.model_validate({
        "name": "any",
        "sequence": {"context": context},
        "model": {"layers": 1, "hidden": 16, "heads": 2},
        "finetuning": {"tasks": ["a"], "tuning": tuning, "wide": False},
        "privacy": {"mechanism": "local", "noise_multiplier": 1, "target_delta": 1e-5},
    })  # fmt: skip
    return RoundContext(study, "site", 1, NUM_TOKENS, {}, None, compute)


def _fit(context: RoundContext) -> Any:
    model, plan = FinetuningModel(context.study, NUM_TOKENS), TuningPlan.of(context.study)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(plan.rate_factor(name, 1) > 0)
    return fit_private_round(context, "finetuning", model)


@pytest.mark.parametrize(("tuning", "holds_each"), [("probe", True), ("full", False)])
def test_rows_are_bounded_where_each_subjects_gradient_is_held(
    tuning: str, holds_each: bool
) -> None:
    context, fit = _fit(_context(tuning, AUTO))
    assert fit.budget.num_tokens == context.compute.token_budget == CPU_TOKEN_BUDGET
    assert (fit.most_rows is not None) == holds_each
    assert not context.compute.to_fit


def test_one_sequence_of_the_study_is_never_too_long() -> None:
    _, fit = _fit(_context("full", AUTO, context=4_096))
    assert fit.budget.num_tokens == 4_096


def test_a_sites_own_budget_is_kept_or_refused() -> None:
    asked = replace(AUTO, token_budget=100, to_fit=frozenset())
    assert _fit(_context("full", asked))[1].budget.num_tokens == 100
    with pytest.raises(ConfigError, match="token_budget = 50"):
        _fit(_context("full", replace(asked, token_budget=50)))


def test_what_per_subject_gradients_rule_out_is_not_done() -> None:
    asked = replace(AUTO, compile=True, checkpointing=True, precision="fp16")
    context, _ = _fit(_context("full", asked))
    compute = context.compute
    assert (compute.compile, compute.checkpointing, compute.precision) == (False, False, "fp32")


@pytest.mark.long
@pytest.mark.parametrize(
    "case",
    ["small 512 512", "small 512 8", "small 2048 2048", "small 512 512 full", "small 512 8 lora",
     "small 512 512 lora", "small 512 8 probe"],
)  # fmt: skip
def test_private_steps_take_no_more_than_was_reckoned(case: str) -> None:
    command = [sys.executable, "-W", "ignore", str(PROGRAM), *case.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    measured, reckoned = map(int, done.stdout.split())
    assert 0 < measured <= reckoned
