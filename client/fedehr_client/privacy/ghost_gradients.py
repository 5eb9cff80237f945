"""`GhostGradients`: subjects' norms without their gradients, for many trained parameters."""

import math

import torch
from torch import nn

from fedehr_client.privacy.ghost_hooks import GhostHooks
from fedehr_client.privacy.subject_gradients import SubjectGradients, clip_factors, norms_over

_TOLERANCE, _LEAST = 1e-2, 1e-6


class GhostGradients(SubjectGradients):
    """Opacus' ghost clipping (Li et al. 2022, "Large Language Models Can Be Strong
    Differentially Private Learners"): a first backward pass finds each subject's norm, a second
    one the gradient of the losses, each scaled by its subject's factor.

    The first pass asks for the gradients of the first layers' weights alone: those of the others
    would be thrown away.
    """

    def __init__(self, model: nn.Module) -> None:
        self._ghost = GhostHooks(model)
        super().__init__(model, self._ghost)

    def forget(self) -> None:
        """As `SubjectGradients.forget`."""
        super().forget()
        self._ghost.first = []

    def add(self, losses: torch.Tensor, clip: float) -> torch.Tensor | None:
        """As `SubjectGradients.add`; None only where there are several subjects."""
        first = self._ghost.first or self.parameters
        torch.autograd.grad(losses.sum(), first, retain_graph=True, allow_unused=True)
        norms = norms_over(
            [
                self.seen(name, getattr(parameter, "_norm_sample", None), losses.numel())
                for name, parameter in self.named
            ]
        )
        if not bool(norms.isfinite().all()):
            return norms if losses.numel() == 1 else None
        factors = clip_factors(norms, clip)
        self.hooks.disable_hooks()
        try:
            weighted = (losses * factors).sum()
            gradients = torch.autograd.grad(weighted, self.parameters)
        finally:
            self.hooks.enable_hooks()
        # No sum is longer than its parts: what bypassed the norms is likely to show.
        longest = (1 + _TOLERANCE) * (factors * norms).sum() + _LEAST
        if not bool(torch.nn.utils.get_total_norm(gradients) <= longest):
            self.tell_of_bypass()
            return torch.full_like(norms, math.nan) if losses.numel() == 1 else None
        for total, gradient in zip(self.sums, gradients, strict=True):
            total.add_(gradient)
        return norms
