"""The optimizer steps of one round, whatever the phase."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Protocol, Self, TypeVar

import torch
from torch import nn

from fedehr_client.training.optimizer import load_moments, make_optimizer, moments_of
from fedehr_client.training.prefetch import prefetch
from fedehr_client.training.round import RoundContext, RoundResult
from fedehr_client.training.schedule import learning_rate
from fedehr_client.training.step_numbers import StepNumbers
from fedehr_shared.config.optimization import OptimizationConfig
from fedehr_shared.errors import TrainingError
from fedehr_shared.model.weights import parameters_of

__all__ = ["RoundContext", "RoundResult", "RoundTrainer"]


class DeviceBatch(Protocol):
    """A batch that can be moved to a device."""

    @property
    def num_tokens(self) -> int:
        """Tokens that the memory holds."""

    def to(self, device: torch.device) -> Self:
        """The same batch on `device`."""

    def pinned(self) -> Self:
        """The same batch in page-locked memory."""

    def split(self, token_budget: int | None) -> Sequence[Self]:
        """Pieces of at most `token_budget` tokens, whose losses add up to the batch's."""


Batch = TypeVar("Batch", bound=DeviceBatch)


class RoundTrainer:
    """Trains one model for one round, from given weights and moments."""

    def __init__(
        self, model: nn.Module, config: OptimizationConfig, rate_factors: dict[str, float]
    ) -> None:
        """`model` holds the round's first weights.

        `rate_factors`: by prefix of parameter names; the rate is scaled by it, 0 freezes.
        """
        self._model = model
        self._config = config
        groups = []
        for prefix, factor in rate_factors.items():
            members = [p for n, p in model.named_parameters() if n.startswith(prefix)]
            for parameter in members:
                parameter.requires_grad_(factor > 0)
            if factor > 0 and members:
                groups.append({"params": members, "rate_factor": factor})
        self._optimizer = make_optimizer(groups, config)

    def run(
        self,
        context: RoundContext,
        make_batch: Callable[[int], Batch],
        loss_of: Callable[[Batch], torch.Tensor],
    ) -> RoundResult:
        """Take `steps_per_round` steps.

        Args:
            context: the round.
            make_batch: a step's batch on the CPU, by the step's number counted from the
                phase's first round. Called in a thread of its own, ahead of the step.
            loss_of: the loss of a batch, which is on the round's device.

        Raises:
            TrainingError: a loss or gradient is NaN or infinite; nothing is sent then.
            WireError: the moments do not fit the model.
        """
        first = (context.round_number - 1) * self._config.steps_per_round
        averaged = self._config.optimizer_state == "averaged"
        if averaged and context.moments:
            load_moments(self._optimizer, self._model, context.moments, first)
        self._model.train()
        steps = range(first, first + self._config.steps_per_round)
        losses: list[float] = []
        began = time.monotonic()
        with closing(prefetch(_pinning(make_batch, context.device), steps)) as batches:
            for step, batch in zip(steps, batches, strict=True):
                pieces = batch.split(context.compute.token_budget)
                loss, norm = self._step(step, loss_of, pieces, context.device)
                losses.append(loss)
                if context.observe is not None:
                    numbers = StepNumbers(
                        num_done=len(losses),
                        num_steps=len(steps),
                        loss=loss,
                        gradient_norm=norm,
                        learning_rate=self._rate(step),
                        num_tokens=batch.num_tokens,
                        seconds=time.monotonic() - began,
                    )
                    context.observe(numbers)
        after = parameters_of(self._model)
        return RoundResult(
            num_steps=len(losses),
            seconds=time.monotonic() - began,
            loss=sum(losses) / len(losses),
            update={name: after[name] - context.weights[name] for name in after},
            moments=moments_of(self._optimizer, self._model) if averaged else None,
        )

    def _rate(self, step: int) -> float:
        num_steps = self._config.rounds * self._config.steps_per_round
        return learning_rate(step, num_steps, self._config)

    def _step(
        self,
        step: int,
        loss_of: Callable[[Batch], torch.Tensor],
        pieces: Sequence[Batch],
        device: torch.device,
    ) -> tuple[float, float]:
        """The step's loss, and its gradient's norm before clipping."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate(step) * group["rate_factor"]
        self._optimizer.zero_grad(set_to_none=False)
        total = 0.0
        for piece in pieces:
            loss = loss_of(piece.to(device))
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        norm = nn.utils.clip_grad_norm_(
            [p for group in self._optimizer.param_groups for p in group["params"]],
            self._config.max_grad_norm,
        )
        if not math.isfinite(total) or not bool(torch.isfinite(norm)):
            raise TrainingError(
                f"the loss or its gradient is NaN or infinite at step {step + 1} of the phase. "
                "Lower its learning_rate or max_grad_norm."
            )
        self._optimizer.step()
        return total, float(norm)


def _pinning(make_batch: Callable[[int], Batch], device: torch.device) -> Callable[[int], Batch]:
    """`make_batch`, into page-locked memory where a CUDA device will copy from it."""
    if device.type != "cuda":
        return make_batch
    return lambda step: make_batch(step).pinned()
