"""`PretrainingModel`: the encoder with what the study's objective adds to it."""

import torch
from torch import nn

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.objectives.contrastive import Contrastive
from fedehr_shared.model.objectives.masked_autoencoder import MaskedAutoencoder
from fedehr_shared.model.objectives.masked_events import MaskedEvents
from fedehr_shared.model.objectives.tied_output import TiedOutput
from fedehr_shared.tokens.masking import MaskedBatch
from fedehr_shared.tokens.views import ViewPairs
from fedehr_shared.tokens.visible import VisibleBatch

PretrainingBatch = MaskedBatch | VisibleBatch | ViewPairs
"""A step's batch, or a piece of one, as the study's objective reads it."""


class PretrainingModel(nn.Module):
    """Holds only parameters that the objective trains; fine-tuning takes `encoder` alone."""

    def __init__(self, model: ModelConfig, objective: ObjectiveConfig, num_tokens: int) -> None:
        super().__init__()
        self.encoder = EventEncoder(model, num_tokens)
        self.naming: MaskedEvents | MaskedAutoencoder | None = None
        if objective.kind == "masked_events":
            self.naming = MaskedEvents()
        elif objective.kind == "masked_autoencoder":
            self.naming = MaskedAutoencoder(model, objective.decoder_layers)
        names = self.naming is not None
        self.output_bias = nn.Parameter(torch.zeros(num_tokens)) if names else None
        self.contrastive = Contrastive(model, objective) if objective.num_views == 2 else None
        self._contrastive_weight = objective.contrastive_weight if names else 1.0

    def forward(
        self, piece: PretrainingBatch, output_offset: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The piece's share of the step's mean loss: those of a step's pieces add up to it.

        Args:
            piece: a step's batch or a part of it, as `[objective]` asks.
            output_offset: `[vocabulary]`, added to the logits; not read by an objective that
                names no events.

        Shape: a scalar.
        """
        shown = piece.views if isinstance(piece, ViewPairs) else piece
        if self.contrastive is None:
            # A masked autoencoder's decoder reads all that is visible.
            places = shown.hidden if isinstance(shown, MaskedBatch) else None
            return self._naming_loss(self.encoder(shown.batch, places), shown, output_offset)
        encoded = self.encoder(shown.batch)
        loss: torch.Tensor = self._contrastive_weight * self.contrastive(encoded, piece)
        if self.naming is None:
            return loss
        read = encoded[shown.positions] if isinstance(shown, MaskedBatch) else encoded
        return loss + self._naming_loss(read, shown, output_offset)

    def _naming_loss(
        self, read: torch.Tensor, shown: MaskedBatch | VisibleBatch, offset: torch.Tensor | None
    ) -> torch.Tensor:
        assert self.naming is not None
        loss: torch.Tensor = self.naming(read, shown, self._output(offset))
        return loss

    def _output(self, offset: torch.Tensor | None) -> TiedOutput:
        assert self.output_bias is not None
        bias = self.output_bias if offset is None else self.output_bias + offset
        return TiedOutput(self.encoder.token_embedding.weight, bias)
