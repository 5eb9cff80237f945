"""`EventOutput`: naming hidden events."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from fedehr_shared.tokens.masking import MaskedBatch


@dataclass(frozen=True)
class EventOutput:
    """The output layer over a flat stream.

    Attributes:
        weight: `[vocabulary, hidden]`: the token embedding (Press and Wolf 2017), or a matrix of
            its own.
        bias: `[vocabulary]`.
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def loss(self, features: torch.Tensor, masked: MaskedBatch) -> torch.Tensor:
        """Cross-entropy (nats) summed over the hidden positions, as a share of the step's mean:
        the losses of a step's pieces add up to it. Logits nowhere else.

        Args:
            features: `[masked, hidden]`, at the hidden positions.
            masked: which tokens stood there.

        Shape: a scalar; 0 where nothing is hidden.
        """
        logits = functional.linear(features, self.weight, self.bias)
        summed = functional.cross_entropy(logits, masked.targets, reduction="sum")
        return summed / max(1, masked.num_step_targets)
