"""`MaskedAutoencoder`: name most of a stream from the little of it that was encoded."""

import torch
from torch import nn

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.model.objectives.decoder import EventDecoder
from fedehr_shared.model.objectives.event_output import EventOutput
from fedehr_shared.tokens.visible import VisibleBatch


class MaskedAutoencoder(nn.Module):
    """The task of He et al. 2022 ("Masked autoencoders are scalable vision learners") on events.

    The decoder is trained, and travels, in pre-training alone.
    """

    def __init__(self, model: ModelConfig, decoder_layers: int) -> None:
        super().__init__()
        self.decoder = EventDecoder(model, decoder_layers)

    def forward(
        self, encoded: torch.Tensor, piece: VisibleBatch, output: EventOutput
    ) -> torch.Tensor:
        """The piece's share of the step's mean cross-entropy.

        Args:
            encoded: `[visible, hidden]`, the encodings of `piece.batch`.
            piece: the piece.
            output: what turns decoded features into names.

        Shape: a scalar, in nats.
        """
        return output.loss(self.decoder(encoded, piece), piece.masked)
