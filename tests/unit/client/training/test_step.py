"""One optimizer step: pieces add up, numbers that are none stop it, fp16 loses no batch."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.token_budget import TokenBudget
from fedehr_client.training.local_state import LocalState
from fedehr_client.training.loop import RoundTrainer
from fedehr_client.training.optimizer import make_optimizer
from fedehr_client.training.private_bias import PrivateBias
from fedehr_client.training.proximal import ProximalTerm
from fedehr_client.training.round import RoundContext
from fedehr_client.training.round_plan import RoundPlan
from fedehr_client.training.step import StepTaker
from fedehr_client.training.worst_pieces import worst_pieces
from fedehr_shared.config.optimization import OptimizationConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import TrainingError
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import build_model, draw_first_weights

CPU = Compute(torch.device("cpu"))
CONFIG = OptimizationConfig(weight_decay=0.0)


@dataclass(frozen=True)
class Numbers:
    """A batch of rows that can be cut anywhere; its loss is the mean over all rows."""

    rows: torch.Tensor
    num_step_rows: int

    @property
    def num_tokens(self) -> int:
        return self.rows.shape[0]

    def to(self, device: torch.device) -> "Numbers":
        return replace(self, rows=self.rows.to(device))

    def pinned(self) -> "Numbers":
        return self

    def split(self, token_budget: int | None) -> Sequence["Numbers"]:
        parts = self.rows.split(token_budget or self.num_tokens)
        return [Numbers(part, self.num_step_rows) for part in parts]


def _batch(seed: int = 0, num: int = 12) -> Numbers:
    return Numbers(torch.randn(num, 4, generator=torch.Generator().manual_seed(seed)), num)


def _taker(
    model: nn.Module,
    loss_of: Callable[[Numbers], torch.Tensor],
    *,
    budget: int | None = None,
    precision: Any = "fp32",
    proximal: ProximalTerm | None = None,
    max_grad_norm: float = 1e9,
) -> StepTaker[Numbers]:
    parameters = list(model.parameters())
    optimizer = make_optimizer([{"params": parameters, "rate_factor": 1.0}], CONFIG, fused=True)
    return StepTaker(
        optimizer, loss_of, replace(CPU, precision=precision), TokenBudget(budget),
        clipped=[parameters], max_grad_norm=max_grad_norm, proximal=proximal,
    )  # fmt: skip


def _linear(scale: float = 1.0) -> nn.Linear:
    model = nn.Linear(4, 1)
    nn.init.constant_(model.weight, scale)
    nn.init.constant_(model.bias, 0.0)
    return model


def _loss(model: nn.Module, factor: float = 1.0) -> Callable[[Numbers], torch.Tensor]:
    return lambda piece: factor * model(piece.rows).float().square().sum() / piece.num_step_rows


@pytest.mark.parametrize("budget", [None, 12, 5, 1])
def test_pieces_add_up_to_the_step(budget: int | None) -> None:
    whole, cut = _linear(), _linear()
    expected = _taker(whole, _loss(whole)).take(0, 1, _batch())
    found = _taker(cut, _loss(cut), budget=budget).take(0, 1, _batch())
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    assert found.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-6)
    torch.testing.assert_close(cut.weight, whole.weight, rtol=1e-5, atol=1e-7)
    direct = _linear()
    _loss(direct)(_batch()).backward()
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in direct.parameters()))
    assert expected.gradient_norm == pytest.approx(norm, rel=1e-5)


def test_a_loss_that_is_no_number_is_placed() -> None:
    model = _linear()
    before = model.weight.detach().clone()
    batch = _batch()
    batch.rows[7] = math.inf
    with pytest.raises(TrainingError, match=r"the loss is NaN .* step 5 of .* piece 3 of 4"):
        _taker(model, _loss(model), budget=3).take(4, 1, batch)
    assert torch.equal(model.weight, before)


class _BadBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, is_bad: bool) -> torch.Tensor:
        ctx.is_bad = is_bad
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return (grads[0] * math.nan if ctx.is_bad else grads[0]), None


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_gradient_that_is_no_number_is_placed(precision: str) -> None:
    model = _linear()
    before = model.weight.detach().clone()

    def loss_of(piece: Numbers) -> torch.Tensor:
        out = _BadBackward.apply(model(piece.rows), bool((piece.rows == 9).any()))
        return out.float().square().sum() / piece.num_step_rows

    batch = _batch()
    batch.rows[4] = 9
    with pytest.raises(TrainingError, match=r"the gradient is NaN .* step 1 of .* piece 2 of 4"):
        _taker(model, loss_of, budget=3, precision=precision).take(0, 1, batch)
    assert torch.equal(model.weight, before)


def test_an_overflow_of_fp16_takes_a_smaller_scale_and_the_same_batch() -> None:
    scaled, plain = _linear(), _linear()
    # 2 ** 16 times this loss's gradient is above the largest number of fp16.
    taker = _taker(scaled, _loss(scaled, 50.0), precision="fp16", budget=4)
    reference = _taker(plain, _loss(plain, 50.0))
    for step in range(3):
        found = taker.take(step, 1, _batch(step))
        expected = reference.take(step, 1, _batch(step))
        assert found.loss == pytest.approx(expected.loss, rel=2e-2)
        assert found.gradient_norm == pytest.approx(expected.gradient_norm, rel=2e-2)
    assert taker.num_rescaled_steps > 0
    torch.testing.assert_close(scaled.weight, plain.weight, rtol=1e-2, atol=1e-5)
    optimizer = taker._optimizer
    assert [float(optimizer.state[p]["step"]) for p in scaled.parameters()] == [3.0, 3.0]


def test_a_norm_beyond_all_numbers_ends_a_step_though_no_scale_is_to_blame() -> None:
    """Gradients of 1e30 are finite in float32, scaled or not; the root of their squares is not."""
    model = _linear()
    taker = _taker(model, lambda _: model.weight.sum() * 1e30, precision="fp16")
    with pytest.raises(TrainingError, match="the gradient is NaN or infinite"):
        taker.take(0, 1, _batch())


@pytest.mark.parametrize("when", ["forward", "backward", "after"])
def test_memory_may_run_out_anywhere_in_a_step_of_fp16(when: str) -> None:
    faults = [torch.OutOfMemoryError("out of memory")]

    class Fails(ProximalTerm):
        def add_gradients(self) -> None:
            if when == "after" and faults:
                raise faults.pop()
            super().add_gradients()

    def loss_of(fails: nn.Module) -> Callable[[Numbers], torch.Tensor]:
        def loss(piece: Numbers) -> torch.Tensor:
            found = _loss(fails)(piece)
            if when == "forward" and faults:
                raise faults.pop()
            if when == "backward" and faults:
                found.register_hook(lambda _: faults and _raise(faults.pop()))
            return found

        return loss

    model, whole = _linear(), _linear()
    proximal = Fails(model.parameters(), 1.0)
    taker = _taker(model, loss_of(model), precision="fp16", proximal=proximal)
    found = taker.take(0, 1, _batch())
    assert not faults
    expected = _taker(whole, _loss(whole), precision="fp16").take(0, 1, _batch())
    assert found.loss == pytest.approx(expected.loss, rel=1e-2)
    torch.testing.assert_close(model.weight, whole.weight, rtol=1e-2, atol=1e-5)


def _raise(error: Exception) -> None:
    raise error


def test_a_step_draws_by_its_seed_alone() -> None:
    def taken(budget: int | None, seed: int) -> torch.Tensor:
        model = _linear()
        taker = _taker(
            model, lambda p: _loss(model)(replace(p, rows=nn.functional.dropout(p.rows))),
            budget=budget,
        )  # fmt: skip
        taker.take(0, seed, _batch())
        return model.weight.detach()

    torch.manual_seed(5)
    first = taken(None, 1)
    torch.manual_seed(6)
    assert torch.equal(taken(None, 1), first)
    assert not torch.equal(taken(None, 2), first)


def test_gradients_are_clipped_together_and_the_norm_told_is_from_before() -> None:
    model = _linear(3.0)
    seen = []
    taker = _taker(model, _loss(model), max_grad_norm=0.5)
    optimizer = taker._optimizer
    optimizer.register_step_pre_hook(
        lambda *_: seen.append(nn.utils.get_total_norm([p.grad for p in model.parameters()]))
    )
    found = taker.take(0, 1, _batch())
    assert found.gradient_norm > 1
    assert float(seen[0]) == pytest.approx(0.5, rel=1e-4)


def test_fedprox_pulls_after_the_scale_is_taken_out() -> None:
    model = _linear()
    proximal = ProximalTerm(model.parameters(), 10.0)
    with torch.no_grad():
        model.weight.add_(1.0)
    found = _taker(model, _loss(model, 0.0), proximal=proximal).take(0, 1, _batch())
    assert found.loss == 0
    assert found.gradient_norm == pytest.approx(20.0, rel=1e-5)


def _study(**pretraining: Any) -> StudyConfig:
    return StudyConfig.model_validate(
        {
            "name": "s",
            "model": {"layers": 1, "hidden": 16, "heads": 2},
            "sequence": {"context": 32},
            "pretraining": {"rounds": 2, "steps_per_round": 4, **pretraining},
            "finetuning": {"tasks": ["a"]},
        }
    )


def _round(study: StudyConfig, plan: RoundPlan | None = None, **more: Any) -> tuple[Any, list[Any]]:
    weights = draw_first_weights(PretrainingModel(study.model, study.objective, 100), 1)
    model = build_model(lambda: PretrainingModel(study.model, study.objective, 100), weights)
    batch = worst_pieces(study, "pretraining", 100, 512)[0]
    seen: list[Any] = []
    context = RoundContext(
        study, "site", 1, 100, weights, None, replace(CPU, **more), observe=seen.append
    )
    trainer = RoundTrainer(model, study.pretraining, lambda _: 1.0)
    return trainer.run(context, lambda _: batch, model, plan=plan), seen


def test_a_round_tells_what_it_did() -> None:
    done, seen = _round(_study())
    assert done.num_steps == len(seen) == 4
    assert [numbers.num_done for numbers in seen] == [1, 2, 3, 4]
    assert done.loss == pytest.approx(sum(n.loss for n in seen) / 4)
    assert done.gradient_norm == pytest.approx(sum(n.gradient_norm for n in seen) / 4)
    assert done.last_gradient_norm == seen[-1].gradient_norm
    assert done.learning_rate == seen[-1].learning_rate > 0
    assert 0 < seen[0].seconds <= seen[-1].seconds <= done.seconds
    assert done.num_rescaled_steps == 0


def test_an_update_that_is_no_number_leaves_nothing_behind(tmp_path: Path) -> None:
    """Moments that are finite, sent for the purpose: the last step's weights are not."""
    study = _study(steps_per_round=1, private_bias=True)
    weights = draw_first_weights(PretrainingModel(study.model, study.objective, 100), 1)
    model = build_model(lambda: PretrainingModel(study.model, study.objective, 100), weights)
    batch = worst_pieces(study, "pretraining", 100, 512)[0]
    sent = {"first": 3e38, "second_root": 1e-30}
    moments = {
        f"{name}.{kind}": np.full(array.shape, value, np.float32)
        for name, array in weights.items()
        for kind, value in sent.items()
    }
    local = LocalState(tmp_path, "study", "pretraining", "vocabulary")
    context = RoundContext(study, "site", 2, 100, weights, moments, CPU, local_state=local)
    bias = PrivateBias(np.ones(100, np.int64))
    trainer = RoundTrainer(model, study.pretraining, lambda _: 1.0, private_bias=bias)
    with pytest.raises(TrainingError, match=r"update is NaN or infinite .* Nothing was sent"):
        trainer.run(context, lambda _: batch, lambda piece: model(piece, bias.values))
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_the_clock_ends_a_round_but_not_before_its_least_steps() -> None:
    study = _study(steps_per_round=50, minutes_per_round=1e-7, steps_per_epoch=5)
    subjects = np.arange(15, dtype=np.int64)
    plan = RoundPlan.of(study.pretraining, subjects, 1, seed=("a",), min_cell=7)
    done, seen = _round(study, plan)
    assert plan.least_steps == 3
    assert done.num_steps == len(seen) == 3
    assert done.learning_rate == plan.learning_rate(2)


@pytest.mark.parametrize("more", [{"token_budget": 32}, {"token_budget": 100},
    {"attention": "padded"}, {"checkpointing": True}])  # fmt: skip
def test_choices_of_compute_change_rounding_alone(more: dict[str, Any]) -> None:
    expected, _ = _round(_study(rounds=1, steps_per_round=1))
    found, _ = _round(_study(rounds=1, steps_per_round=1), **more)
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)
    assert found.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precisions_learn_as_fp32_does(precision: str) -> None:
    study = _study(rounds=1, steps_per_round=20, learning_rate=1e-2)
    expected, _ = _round(study)
    found, seen = _round(study, precision=precision)
    assert found.loss == pytest.approx(expected.loss, rel=2e-2)
    assert seen[-1].loss < seen[0].loss - 0.2
    assert all(array.dtype == "float32" for array in found.update.values())
