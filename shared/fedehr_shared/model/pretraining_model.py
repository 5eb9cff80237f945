"""`PretrainingModel`: the encoder with what the study's objective adds to it."""

import torch
from torch import nn

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.objectives.masked_events import MaskedEvents
from fedehr_shared.model.objectives.tied_output import TiedOutput
from fedehr_shared.tokens.masking import MaskedBatch


class PretrainingModel(nn.Module):
    """Holds only parameters that the objective trains; fine-tuning takes `encoder` alone."""

    def __init__(self, model: ModelConfig, objective: ObjectiveConfig, num_tokens: int) -> None:
        super().__init__()
        self.encoder = EventEncoder(model, num_tokens)
        self.output_bias = nn.Parameter(torch.zeros(num_tokens))
        self.naming = MaskedEvents()

    def forward(
        self, piece: MaskedBatch, output_offset: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The piece's share of the step's mean loss: those of a step's pieces add up to it.

        Args:
            piece: a step's batch or a part of it.
            output_offset: `[vocabulary]`, added to the logits; nothing where no event is named.

        Shape: a scalar.
        """
        bias = self.output_bias if output_offset is None else self.output_bias + output_offset
        output = TiedOutput(self.encoder.token_embedding.weight, bias)
        loss: torch.Tensor = self.naming(self.encoder(piece.batch), piece, output)
        return loss
