"""`PrivateStepTaker`: one step of DP-SGD from one batch of subjects."""

import logging
import math
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import torch

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.out_of_memory import is_out_of_memory, release_memory
from fedehr_client.compute.precision import autocast
from fedehr_client.compute.token_budget import TokenBudget
from fedehr_client.privacy.clipping_norm import ClippingNorm
from fedehr_client.privacy.noisy_mean import noisy_mean
from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_client.privacy.subject_gradients import SubjectGradients
from fedehr_client.training.proximal import ProximalTerm
from fedehr_client.training.step import DeviceBatch, StepResult
from fedehr_shared.errors import TrainingError

log = logging.getLogger("fedehr.client")


class SubjectBatch(DeviceBatch, Protocol):
    """A batch of one row a subject; its pieces hold other subjects."""

    @property
    def num_subjects(self) -> int:
        """Rows; 0 where the draw found nobody."""


Batch = TypeVar("Batch", bound=SubjectBatch)


class PrivateStepTaker(Generic[Batch]):
    """Clips each subject's gradient, adds the noise to their sum and moves the weights.

    - Whatever the batch holds, its step is taken: an empty one is noise alone, and a subject
      whose gradient is no number adds nothing. Nothing that leaves the site tells of either
    - The sum is divided by a public number, never by the batch's own size
    - The study's seed plays no part: dropout too is seeded from the site's own randomness

    Attributes:
        num_rescaled_steps: 0: there is no loss scale.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        losses_of: Callable[[Batch], torch.Tensor],
        compute: Compute,
        budget: TokenBudget,
        *,
        gradients: SubjectGradients,
        clipping: ClippingNorm,
        randomness: PrivateRandomness,
        proximal: ProximalTerm | None = None,
    ) -> None:
        """`losses_of` gives `[subjects]`, each subject's loss from its own row alone."""
        self._optimizer = optimizer
        self._losses_of = losses_of
        self._compute = compute
        self._budget = budget
        self._gradients = gradients
        self._clipping = clipping
        self._randomness = randomness
        self._proximal = proximal
        self._last_loss = 0.0
        self.num_rescaled_steps = 0

    def take(self, step: int, seed: int, batch: Batch) -> StepResult:
        """Take one step at the optimizer's learning rates.

        Args:
            step: its number within the phase.
            seed: not used: the coordinator knows it.
            batch: on the CPU.

        Returns:
            For the site alone: the mean of its subjects' losses, and the norm of the noisy mean
            gradient, which alone is covered by epsilon.

        Raises:
            TrainingError: not even one subject fits into memory, or a trained parameter's
                gradient cannot be told apart by subject.
        """
        del step, seed
        losses, norms = self._fitting(batch)
        clip = self._clipping.value
        norm = self._noised(clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._clipping.follow(norms, self._randomness)
        return StepResult(self._mean(losses), norm)

    def _noised(self, clip: float) -> float:
        """Put the noisy mean into the parameters' gradients; its norm, before FedProx's term."""
        gradients = self._gradients
        for parameter, total in zip(gradients.parameters, gradients.sums, strict=True):
            parameter.grad = noisy_mean(total, clip, self._clipping.mechanism, self._randomness)
        gradients.sums = []
        norm = torch.nn.utils.get_total_norm(
            [p.grad for p in gradients.parameters if p.grad is not None]
        )
        if self._proximal is not None:
            self._proximal.add_gradients()
        return float(norm)

    def _mean(self, losses: torch.Tensor) -> float:
        """Of those that are numbers; an empty batch tells the last one again."""
        usable = losses[losses.isfinite()]
        if usable.numel() < losses.numel():
            log.warning("a subject's gradient was no number: it was left out of a step")
        if usable.numel():
            self._last_loss = float(usable.mean())
        return self._last_loss

    def _fitting(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """`_added_up`, with as many pieces as memory asks for."""
        while True:
            try:
                found = self._added_up(batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            else:
                self._budget.fitted()
                return found
            # Outside the handler: the error's frames hold what filled the memory.
            self._gradients.forget()
            release_memory(self._compute.device)
            self._budget.lower(batch)

    def _added_up(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Losses and norms of all subjects, `[subjects]` each; their clipped sum is in
        `gradients.sums`."""
        self._gradients.begin()
        nobody = torch.zeros(0)
        losses, norms = [nobody], [nobody]
        if batch.num_subjects:
            torch.manual_seed(self._randomness.seed())
            for piece in batch.split(self._budget.num_tokens):
                self._add(piece, losses, norms)
        return torch.cat(losses), torch.cat(norms)

    def _add(self, piece: Batch, losses: list[torch.Tensor], norms: list[torch.Tensor]) -> None:
        self._gradients.forget()
        found = self._forward(piece)
        found_norms = self._gradients.add(found, self._clipping.value)
        if found_norms is None:
            for single in _singles(piece):
                self._add(single, losses, norms)
            return
        told = torch.where(found_norms.isfinite(), found.detach(), math.nan)
        losses.append(told.cpu())
        norms.append(found_norms.cpu())

    def _forward(self, piece: Batch) -> torch.Tensor:
        """Each subject's loss. `[subjects]` float32.

        Raises:
            TrainingError: the losses have another shape. Of a wrong one, clipping can be void
                without a word.
        """
        with autocast(self._compute.device, self._compute.precision):
            losses = self._losses_of(piece.to(self._compute.device)).float()
        if losses.shape != (piece.num_subjects,):
            raise TrainingError(
                f"the losses of {piece.num_subjects} subjects have the shape "
                f"{tuple(losses.shape)}: gradients cannot be clipped by subject. Nothing was sent."
            )
        return losses


def _singles(piece: Batch) -> Sequence[Batch]:
    singles = piece.split(1)
    if any(single.num_subjects != 1 for single in singles):
        raise TrainingError("a batch of subjects could not be cut into single ones.")
    return singles
