"""`PretrainingModel`: the encoder with the head that names hidden events."""

import torch
from torch import nn
from torch.nn import functional

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.tokens.masking import MaskedBatch


class PretrainingModel(nn.Module):
    """Masked-event prediction; the output matrix is the token embedding (tied)."""

    def __init__(self, config: ModelConfig, num_tokens: int) -> None:
        super().__init__()
        self.encoder = EventEncoder(config, num_tokens)
        self.output_bias = nn.Parameter(torch.zeros(num_tokens))

    def forward(self, masked: MaskedBatch) -> torch.Tensor:
        """Cross-entropy (nats) summed over the hidden positions, as a share of the step's mean:
        the losses of a step's pieces add up to it. Logits nowhere else.

        Shape: a scalar; 0 where nothing is hidden.
        """
        hidden = self.encoder(masked.batch)[masked.positions]
        logits = functional.linear(hidden, self.encoder.token_embedding.weight, self.output_bias)
        summed = functional.cross_entropy(logits, masked.targets, reduction="sum")
        return summed / max(1, masked.num_step_targets)
