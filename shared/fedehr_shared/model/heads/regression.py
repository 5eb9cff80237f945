"""The loss of regression: Huber's, in units of the task's `scale`."""

import torch
from torch import nn
from torch.nn import functional

DELTA = 2.0
"""In units of `scale`."""


class RegressionLoss(nn.Module):
    """Of e = (value - center) / scale - output: e^2 / 2, and beyond two scales linear (Huber 1964).

    Not the square alone: stays and costs have long tails, and the square of one subject with
    thirty usual deviations would outweigh all others of its batch, in the shared encoder too.
    Within two scales, where most labels lie, the output is fitted to the mean as a square's is.
    """

    def __init__(self, center: float, scale: float) -> None:
        """`center`, `scale`: in the label's unit."""
        super().__init__()
        self._center, self._scale = center, scale

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Losses, without a unit. Shape: `[labels, 1]` and `[labels]` to `[labels]`."""
        wanted = (labels.to(logits.dtype) - self._center) / self._scale
        return functional.huber_loss(logits[:, 0], wanted, reduction="none", delta=DELTA)
