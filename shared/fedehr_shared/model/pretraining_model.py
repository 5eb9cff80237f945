"""`PretrainingModel`: the encoder with what the study's objective adds to it."""

import torch
from torch import nn
from torch.nn import functional

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.objectives.contrastive import Contrastive
from fedehr_shared.model.objectives.event_output import EventOutput
from fedehr_shared.model.objectives.masked_autoencoder import MaskedAutoencoder
from fedehr_shared.model.objectives.masked_events import MaskedEvents
from fedehr_shared.tokens.masking import MaskedBatch
from fedehr_shared.tokens.padded_masking import PaddedMaskedBatch
from fedehr_shared.tokens.views import ViewPairs
from fedehr_shared.tokens.visible import VisibleBatch

PretrainingBatch = MaskedBatch | VisibleBatch | ViewPairs
"""A step's batch, or a piece of one, as the study's objective reads it."""


class PretrainingModel(nn.Module):
    """Holds only parameters that the objective trains; fine-tuning takes `encoder` alone."""

    def __init__(
        self,
        model: ModelConfig,
        objective: ObjectiveConfig,
        num_tokens: int,
        *,
        untied: bool = False,
    ) -> None:
        """`untied`: the matrix that names events is one of its own, not the token embedding: a
        layer that is used twice has no gradient norm of its own for each subject."""
        super().__init__()
        self.encoder = EventEncoder(model, num_tokens)
        self.naming: MaskedEvents | MaskedAutoencoder | None = None
        if objective.kind == "masked_events":
            self.naming = MaskedEvents()
        elif objective.kind == "masked_autoencoder":
            self.naming = MaskedAutoencoder(model, objective.decoder_layers)
        names = self.naming is not None
        self.output = nn.Linear(model.hidden, num_tokens) if names and untied else None
        has_bias = names and not untied
        self.output_bias = nn.Parameter(torch.zeros(num_tokens)) if has_bias else None
        self.contrastive = Contrastive(model, objective) if objective.num_views == 2 else None
        self._contrastive_weight = objective.contrastive_weight if names else 1.0

    @classmethod
    def of(cls, study: StudyConfig, num_tokens: int) -> "PretrainingModel":
        """The model of a study, which both ends must build alike: with differential privacy in
        pre-training the output is untied."""
        untied = study.privacy.is_private("pretraining")
        return cls(study.model, study.objective, num_tokens, untied=untied)

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

    def losses(self, piece: PaddedMaskedBatch) -> torch.Tensor:
        """Each subject's mean cross-entropy over its own hidden events, in nats; 0 where nothing
        is hidden. Only of a model of masked events whose output is untied.

        Shape: `[subjects]`.
        """
        assert self.output is not None
        logits = self.output(self.encoder(piece.batch, piece.hidden)).float()
        each = functional.cross_entropy(
            logits.flatten(0, 1), piece.targets.flatten(), reduction="none"
        )
        return (each.view_as(piece.weights) * piece.weights).sum(dim=1)

    @property
    def event_output(self) -> EventOutput:
        """What turns encodings into names."""
        if self.output is not None:
            return EventOutput(self.output.weight, self.output.bias)
        assert self.output_bias is not None
        return EventOutput(self.encoder.token_embedding.weight, self.output_bias)

    def _naming_loss(
        self, read: torch.Tensor, shown: MaskedBatch | VisibleBatch, offset: torch.Tensor | None
    ) -> torch.Tensor:
        assert self.naming is not None
        output = self.event_output
        if offset is not None:
            output = EventOutput(output.weight, output.bias + offset)
        loss: torch.Tensor = self.naming(read, shown, output)
        return loss
