"""`ProximalTerm`: FedProx, which holds a site near the round's first weights."""

from collections.abc import Iterable

import torch
from torch import nn


class ProximalTerm:
    """Half of `weight` times the squared distance from the first weights (Li et al. 2020,
    "Federated Optimization in Heterogeneous Networks", equation 2).

    Its gradient is added straight to those of the loss. So the loss that a site reports stays
    the task's own: it can be compared with studies that have no such term. A site's private
    bias is shared with nobody and is not held.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], weight: float) -> None:
        """Keep a copy of the parameters as they are now, of those that are trained.

        Args:
            parameters: the model's, at the round's start.
            weight: `proximal_weight` of the study.
        """
        self._weight = weight
        self._starts = [(p, p.detach().clone()) for p in parameters if p.requires_grad]

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add `weight * (w - w_start)`: after the backward pass (and after fp16's scale is
        taken out), before the gradients are clipped."""
        for parameter, start in self._starts:
            pull = (parameter - start).mul_(self._weight)
            if parameter.grad is None:
                parameter.grad = pull
            else:
                parameter.grad.add_(pull)
