"""`MaskedEvents`: name the hidden events of a stream that shows something else in their place."""

import torch
from torch import nn

from fedehr_shared.model.objectives.event_output import EventOutput
from fedehr_shared.tokens.masking import MaskedBatch


class MaskedEvents(nn.Module):
    """BERT's task (Devlin et al. 2019) on events. It has no parameters of its own."""

    def forward(
        self, encoded: torch.Tensor, masked: MaskedBatch, output: EventOutput
    ) -> torch.Tensor:
        """The piece's share of the step's mean cross-entropy.

        Args:
            encoded: `[masked, hidden]`, the encodings at the hidden positions of `masked.batch`.
            masked: the piece.
            output: what turns encodings into names.

        Shape: a scalar, in nats.
        """
        return output.loss(encoded, masked)
