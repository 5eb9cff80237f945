"""`HookedGradients`: every subject's gradient in memory, for few trained parameters."""

import torch
from opacus.grad_sample.grad_sample_module import GradSampleHooks
from torch import nn

from fedehr_client.privacy.subject_gradients import SubjectGradients, clip_factors, norms_over


class HookedGradients(SubjectGradients):
    """Opacus' per-sample gradients in one backward pass. Adapters and heads are small: their
    gradients of a whole batch take less memory than its activations."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model, GradSampleHooks(model, loss_reduction="sum", strict=True))

    def add(self, losses: torch.Tensor, clip: float) -> torch.Tensor | None:
        """As `SubjectGradients.add`; it is never None."""
        torch.autograd.grad(losses.sum(), self.parameters, allow_unused=True)
        samples = [
            self.seen(name, getattr(parameter, "grad_sample", None), losses.numel()).float()
            for name, parameter in self.named
        ]
        norms = norms_over([sample.flatten(1).norm(2, dim=1) for sample in samples])
        usable = norms.isfinite()
        if not bool(usable.all()):
            samples = [sample[usable] for sample in samples]
        factors = clip_factors(norms[usable], clip)
        for total, sample in zip(self.sums, samples, strict=True):
            total.add_(torch.einsum("n,n...->...", factors, sample))
        return norms
