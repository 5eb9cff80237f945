"""`StepTaker`: one optimizer step from one batch, in as many pieces as memory asks for."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import nn

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.out_of_memory import is_out_of_memory, release_memory
from fedehr_client.compute.precision import autocast
from fedehr_client.compute.token_budget import TokenBudget
from fedehr_client.training.divergence import gradient_error, loss_error
from fedehr_client.training.proximal import ProximalTerm
from fedehr_shared.errors import TrainingError


class DeviceBatch(Protocol):
    """A batch that can be moved to a device, whole or in pieces."""

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


@dataclass(frozen=True)
class StepResult:
    """What a step found: its loss (nats), and its gradient's norm before clipping."""

    loss: float
    gradient_norm: float


class StepTaker(Generic[Batch]):
    """Adds up the gradients of a batch's pieces, clips them and moves the weights.

    Where memory runs out, the budget is lowered and the same step done again from its beginning:
    the batch was made before it was cut, so only rounding differs. In fp16 a step whose scaled
    gradient overflows is done again with half the loss scale, so no batch is lost and the
    schedule and AdamW's count of steps stay right.

    Attributes:
        num_rescaled_steps: how often a step was done again for the loss scale.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        loss_of: Callable[[Batch], torch.Tensor],
        compute: Compute,
        budget: TokenBudget,
        *,
        clipped: Sequence[Sequence[nn.Parameter]],
        max_grad_norm: float,
        proximal: ProximalTerm | None,
    ) -> None:
        """`clipped`: parameters whose gradients are clipped together; the first are the model's."""
        self._optimizer = optimizer
        self._loss_of = loss_of
        self._compute = compute
        self._budget = budget
        self._clipped = clipped
        self._max_grad_norm = max_grad_norm
        self._proximal = proximal
        self._scaler = torch.amp.GradScaler(
            compute.device.type, enabled=compute.precision == "fp16"
        )
        # Its scale is there from now on, wherever memory runs out.
        self._scaler.scale(torch.zeros((), device=compute.device))
        self.num_rescaled_steps = 0

    def take(self, step: int, seed: int, batch: Batch) -> StepResult:
        """Take one step at the optimizer's learning rates.

        Args:
            step: its number within the phase, for errors.
            seed: of whatever the model draws.
            batch: on the CPU.

        Raises:
            TrainingError: the loss or its gradient is NaN or infinite, or not even one sequence
                fits into memory. The weights are as they were before the step.
        """
        found = self._gradients(step, seed, batch)
        try:
            self._scaler.step(self._optimizer)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingError(
                "memory ran out for the optimizer's moments, twice the weights. Lower the model's "
                "size in the study."
            ) from error
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        return found

    def _gradients(self, step: int, seed: int, batch: Batch) -> StepResult:
        """Finite clipped gradients of the whole batch, in the parameters."""
        while True:
            losses, norm = self._fitting(seed, batch)
            if not all(math.isfinite(loss) for loss in losses):
                raise loss_error(step, losses)
            if math.isfinite(norm):
                return StepResult(math.fsum(losses), norm)
            if not self._halves_scale():
                raise self._located(step, seed, batch)
            self.num_rescaled_steps += 1

    def _halves_scale(self) -> bool:
        """Whether fp16's loss scale went down: not where it is 1 already, nor where it is not to
        blame, as the gradients are finite and only their norm is not."""
        if not self._scaler.is_enabled() or self._scaler.get_scale() <= 1:
            return False
        scale = self._scaler.get_scale()
        self._scaler.update()
        return self._scaler.get_scale() < scale

    def _fitting(self, seed: int, batch: Batch) -> tuple[list[float], float]:
        """`_added_up`, with as many pieces as memory asks for."""
        while True:
            try:
                found = self._added_up(seed, batch.split(self._budget.num_tokens))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            else:
                self._budget.fitted()
                return found
            # Outside the handler: the error's frames hold what filled the memory.
            self._optimizer.zero_grad(set_to_none=True)
            # The scale stays; what was found of gradients that are gone does not.
            self._scaler.update(self._scaler.get_scale())
            release_memory(self._compute.device)
            self._budget.lower(batch)

    def _added_up(self, seed: int, pieces: Sequence[Batch]) -> tuple[list[float], float]:
        """Losses of the pieces, and the norm of their summed gradient before it is clipped.

        All numbers are read at once: the device is waited for once a step.
        """
        torch.manual_seed(seed)
        self._optimizer.zero_grad(set_to_none=True)
        losses = [self._backward(piece) for piece in pieces]
        self._scaler.unscale_(self._optimizer)
        if self._proximal is not None:
            self._proximal.add_gradients()
        norms = [nn.utils.clip_grad_norm_(group, self._max_grad_norm) for group in self._clipped]
        *told, norm = torch.stack([*losses, *norms[1:], norms[0]]).tolist()
        own = told[len(losses) :]
        return told[: len(losses)], norm if all(map(math.isfinite, own)) else math.nan

    def _backward(self, piece: Batch) -> torch.Tensor:
        """Add the gradients of a piece; its loss stays on the device."""
        with autocast(self._compute.device, self._compute.precision):
            loss = self._loss_of(piece.to(self._compute.device))
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach().float()

    def _located(self, step: int, seed: int, batch: Batch) -> TrainingError:
        """Which piece's gradient is no number: each on its own, as the sum does not say."""
        pieces = batch.split(self._budget.num_tokens)
        torch.manual_seed(seed)
        for place, piece in enumerate(pieces):
            self._optimizer.zero_grad(set_to_none=True)
            self._backward(piece)
            parameters = [p for group in self._clipped for p in group]
            if not math.isfinite(float(nn.utils.get_total_norm(_gradients_of(parameters)))):
                return gradient_error(step, place, len(pieces))
        return gradient_error(step, None, len(pieces))


def _gradients_of(parameters: Sequence[nn.Parameter]) -> list[torch.Tensor]:
    return [p.grad for p in parameters if p.grad is not None]
