"""The optimizer steps of one round, whatever the phase."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from fedehr_client.compute.prepare import prepare_model
from fedehr_client.compute.token_budget import TokenBudget
from fedehr_client.privacy.clipping_norm import ClippingNorm
from fedehr_client.privacy.listening import listening
from fedehr_client.privacy.mechanism import Mechanism
from fedehr_client.privacy.precision import private_compute
from fedehr_client.privacy.private_step import PrivateStepTaker
from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_client.training.carry_over import CarryOver
from fedehr_client.training.divergence import update_error
from fedehr_client.training.learning_history import LearningHistory
from fedehr_client.training.optimizer import make_optimizer
from fedehr_client.training.prefetch import prefetch
from fedehr_client.training.private_bias import PrivateBias
from fedehr_client.training.proximal import ProximalTerm
from fedehr_client.training.round import RoundContext, RoundResult
from fedehr_client.training.round_plan import RoundPlan
from fedehr_client.training.step import Batch, StepResult, StepTaker
from fedehr_client.training.step_numbers import StepNumbers
from fedehr_shared.config.optimization import OptimizationConfig
from fedehr_shared.model.tuning.plan import TuningPlan
from fedehr_shared.model.weights import parameters_of
from fedehr_shared.seeds import derive_seed
from fedehr_shared.wire.payload import Arrays

__all__ = ["RoundContext", "RoundResult", "RoundTrainer"]


class RoundTrainer:
    """Trains one model for one round, from given weights and moments."""

    def __init__(
        self,
        model: nn.Module,
        config: OptimizationConfig,
        rate_factor: Callable[[str], float],
        *,
        private_bias: PrivateBias | None = None,
        tuning: TuningPlan | None = None,
        mechanism: Mechanism | None = None,
    ) -> None:
        """`model` holds the round's first weights.

        Args:
            model: on its device.
            config: the phase's.
            rate_factor: by a parameter's name, what its rate is scaled by; 0 freezes it.
            private_bias: the site's, trained beside the model at the full rate.
            tuning: which of the phase's rounds train what; None: all train everything.
            mechanism: of a private round; None: gradients are clipped over a batch, without noise.
        """
        self._model = model
        self._config = config
        self._bias = private_bias
        self._tuning = tuning
        self._clipping = ClippingNorm(mechanism) if mechanism else None
        members: dict[tuple[float, int], list[nn.Parameter]] = {}
        shared: list[nn.Parameter] = []
        own: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            factor = rate_factor(name)
            parameter.requires_grad_(factor > 0)
            if factor > 0:
                since = tuning.first_round(name) if tuning else 1
                members.setdefault((factor, since), []).append(parameter)
                (own if tuning and tuning.is_local(name) else shared).append(parameter)
        if private_bias is not None:
            members.setdefault((1.0, 1), []).append(private_bias.values)
            own.append(private_bias.values)
        groups: list[dict[str, object]] = [
            {"params": group, "rate_factor": factor, "first_round": since}
            for (factor, since), group in members.items()
        ]
        # What a site keeps to itself must not change how its update is clipped.
        self._clipped = [part for part in (shared, own) if part]
        # The fused kernel took a third of the loop's time on a CPU and rounds alike each time.
        self._optimizer = make_optimizer(groups, config, fused=True)

    def run(
        self,
        context: RoundContext,
        make_batch: Callable[[int], Batch],
        loss_of: Callable[[Batch], torch.Tensor],
        *,
        plan: RoundPlan | None = None,
        budget: TokenBudget | None = None,
    ) -> RoundResult:
        """Take the round's steps.

        Args:
            context: the round.
            make_batch: a step's batch on the CPU, by the step's number counted from the
                phase's first round. Called in a thread of its own, ahead of the step.
            loss_of: the loss of a batch, which is on the round's device; in a private round
                `[subjects]`, the loss of each.
            plan: of the round; None: `steps_per_round` steps, whatever the subjects.
            budget: tokens at once; None: as `context.compute` has it.

        Raises:
            TrainingError: a loss or gradient is NaN or infinite, or memory ran out; nothing is
                sent then.
            WireError: the moments do not fit the model.
            DataError: what the site keeps cannot be written.
        """
        plan = plan or _plan_without_subjects(self._config, context.round_number)
        if self._clipping is not None:
            context = replace(context, compute=private_compute(context.compute, self._model))
        carried = CarryOver(
            self._config,
            context.round_number,
            LearningHistory(plan, context.round_number, self._tuning),
            context.moments,
            context.local_state,
            self._clipping,
        )
        carried.begin(self._optimizer, self._model, self._bias)
        prepare_model(self._model, context.compute)
        self._model.train()
        began = time.monotonic()
        with self._step_taker(context, loss_of, budget) as taker:
            results = self._take_steps(taker, plan, _pinning(make_batch, context.device), context)
        seconds = time.monotonic() - began
        update = _update(self._model, context.weights)
        return RoundResult(
            num_steps=len(results),
            loss=sum(result.loss for result in results) / len(results),
            update=update,
            moments=carried.end(self._optimizer, self._model, self._bias),
            learning_rate=plan.learning_rate(plan.first_step + len(results) - 1),
            gradient_norm=sum(result.gradient_norm for result in results) / len(results),
            last_gradient_norm=results[-1].gradient_norm,
            num_rescaled_steps=taker.num_rescaled_steps,
            seconds=seconds,
        )

    @contextmanager
    def _step_taker(
        self,
        context: RoundContext,
        loss_of: Callable[[Batch], torch.Tensor],
        budget: TokenBudget | None,
    ) -> Iterator[StepTaker[Batch] | PrivateStepTaker[Any]]:
        budget = budget or TokenBudget(context.compute.token_budget)
        weight = self._config.proximal_weight
        proximal = ProximalTerm(self._model.parameters(), weight) if weight else None
        if self._clipping is None:
            yield StepTaker(
                self._optimizer,
                loss_of,
                context.compute,
                budget,
                clipped=self._clipped,
                max_grad_norm=self._config.max_grad_norm,
                proximal=proximal,
            )
            return
        with listening(self._model) as gradients:
            yield PrivateStepTaker(
                self._optimizer,
                loss_of,
                context.compute,
                budget,
                gradients=gradients,
                clipping=self._clipping,
                randomness=context.randomness or PrivateRandomness(),
                proximal=proximal,
            )

    def _take_steps(
        self,
        taker: StepTaker[Batch] | PrivateStepTaker[Any],
        plan: RoundPlan,
        make_batch: Callable[[int], Batch],
        context: RoundContext,
    ) -> list[StepResult]:
        """All of the plan's steps, or as many as its time allows."""
        results: list[StepResult] = []
        began = time.monotonic()
        with closing(prefetch(make_batch, plan.steps)) as batches:
            for step, batch in zip(plan.steps, batches, strict=True):
                for group in self._optimizer.param_groups:
                    since = plan.end_of_round(group["first_round"] - 1)
                    group["lr"] = plan.learning_rate(step, since) * group["rate_factor"]
                results.append(taker.take(step, derive_seed(*plan.seed, "step", step), batch))
                seconds = time.monotonic() - began
                if context.observe is not None:
                    context.observe(_numbers(plan, results, batch.num_tokens, seconds))
                is_late = plan.deadline_seconds is not None and seconds >= plan.deadline_seconds
                if is_late and len(results) >= plan.least_steps:
                    break
        return results


def _update(model: nn.Module, before: Arrays) -> Arrays:
    """What the round changed. No loss was computed since the last step, so it is looked at.

    Raises:
        TrainingError: it is NaN or infinite.
    """
    after = parameters_of(model)
    with np.errstate(over="ignore", invalid="ignore"):
        update = {name: after[name] - before[name] for name in after}
    if not all(np.isfinite(change).all() for change in update.values()):
        raise update_error()
    return update


def _numbers(
    plan: RoundPlan, results: Sequence[StepResult], num_tokens: int, seconds: float
) -> StepNumbers:
    return StepNumbers(
        num_done=len(results),
        num_steps=plan.num_steps,
        loss=results[-1].loss,
        gradient_norm=results[-1].gradient_norm,
        learning_rate=plan.learning_rate(plan.first_step + len(results) - 1),
        num_tokens=num_tokens,
        seconds=seconds,
    )


def _plan_without_subjects(config: OptimizationConfig, round_number: int) -> RoundPlan:
    """For a trial, whose batches are given and whose update goes nowhere."""
    nobody = np.zeros(1, dtype=np.int64)
    return RoundPlan.of(config, nobody, round_number, seed=("trial",), min_cell=1)


def _pinning(make_batch: Callable[[int], Batch], device: torch.device) -> Callable[[int], Batch]:
    """`make_batch`, into page-locked memory where a CUDA device will copy from it."""
    if device.type != "cuda":
        return make_batch
    return lambda step: make_batch(step).pinned()
