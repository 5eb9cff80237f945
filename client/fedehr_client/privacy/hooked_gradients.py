"""`HookedGradients`: every subject's gradient in memory, for few trained parameters."""

from collections.abc import Sequence

import torch
from torch import nn

from fedehr_client.privacy.opacus import GradSampleHooks
from fedehr_client.privacy.subject_gradients import SubjectGradients, clip_factors, norms_over

_TOLERANCE, _LEAST = 0.05, 1e-6
"""Of the norms' sum: what bf16 rounds; and an absolute one, for gradients of nothing."""


class HookedGradients(SubjectGradients):
    """Opacus' per-sample gradients in one backward pass. Adapters and heads are small: their
    gradients of a whole batch take less memory than its activations."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model, GradSampleHooks(model, loss_reduction="sum", strict=True))
        self._is_compared = False

    def add(self, losses: torch.Tensor, clip: float) -> torch.Tensor | None:
        """As `SubjectGradients.add`; None only where there are several subjects: what is no number
        in one row is none in others that it is computed with, as padding or a kernel's mask."""
        wholes = torch.autograd.grad(losses.sum(), self.parameters, allow_unused=True)
        samples = [
            self.seen(name, getattr(parameter, "grad_sample", None), losses.numel()).float()
            for name, parameter in self.named
        ]
        norms = norms_over([sample.flatten(1).norm(2, dim=1) for sample in samples])
        if not bool(norms.isfinite().all()):
            return norms if losses.numel() == 1 else None
        self._compare(samples, wholes, norms)
        factors = clip_factors(norms, clip)
        for total, sample in zip(self.sums, samples, strict=True):
            total.add_(torch.einsum("n,n...->...", factors, sample))
        return norms

    def _compare(
        self,
        samples: list[torch.Tensor],
        wholes: Sequence[torch.Tensor | None],
        norms: torch.Tensor,
    ) -> None:
        """Once a round, whether subjects' gradients add up to autograd's own. What is added up is
        clipped in either case: it is theirs."""
        if self._is_compared:
            return
        self._is_compared = True
        allowed = _TOLERANCE * float(norms.sum()) + _LEAST
        for sample, whole in zip(samples, wholes, strict=True):
            missing = sample.sum(dim=0) - (0.0 if whole is None else whole)
            if not float(missing.norm()) <= allowed:
                self.tell_of_bypass()
