"""Cross-entropy of binary and multiclass tasks, with class weights and label smoothing."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from fedehr_shared.config.loss import LossConfig
from fedehr_shared.model.heads.focal import focal_factor


class ClassLoss(nn.Module):
    """`-w[y] * sum over k of t[k] (1 - p[k])^gamma log p[k]`, each label's own.

    - `t`: 1 - smoothing at the label y, the rest shared alike by the other classes, so that a
      multiclass task of two classes is as a binary one.
    - gamma: 0, or that of `kind = "focal"`.
    - `w`: the class weights. They weigh labels: what is divided by is the number of labels, not
      the sum of weights, so that a label weighs the same in any batch.
    """

    class_weights: torch.Tensor

    def __init__(self, config: LossConfig, class_weights: Sequence[float]) -> None:
        """`class_weights`: negative then positive, or as the task's classes."""
        super().__init__()
        self._smoothing = config.label_smoothing
        self._gamma = config.focal_gamma if config.kind == "focal" else 0.0
        self.register_buffer("class_weights", torch.tensor(class_weights), persistent=False)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Losses in nats.

        Args:
            logits: `[labels, classes]`; `[labels, 1]` of a binary task.
            labels: `[labels]`, numbers of classes as floats.

        Shape: `[labels]`.
        """
        log_chances = log_chances_of(logits)
        losses = -log_chances * focal_factor(log_chances, self._gamma)
        numbers = labels.long()
        own = losses.gather(1, numbers[:, None]).squeeze(1)
        others = (losses.sum(dim=1) - own) / (losses.shape[1] - 1)
        smoothed = (1 - self._smoothing) * own + self._smoothing * others
        return self.class_weights.to(losses.dtype)[numbers] * smoothed


def log_chances_of(logits: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of all classes: `[n, classes]`, or `[n, 1]` to `[n, 2]` (no, yes)."""
    if logits.shape[1] == 1:
        return functional.logsigmoid(torch.cat([-logits, logits], dim=1))
    return functional.log_softmax(logits, dim=1)
