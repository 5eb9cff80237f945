"""`[objective]`: what pre-training asks of the encoder."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedehr_shared.config.section import Section


class ObjectiveConfig(Section):
    """What is to be found, and whether two views of a subject must agree as well."""

    kind: Literal["masked_events", "masked_autoencoder", "contrastive"] = "masked_events"
    """`masked_events`: name the events hidden by `[masking]` (Devlin et al. 2019).
    `masked_autoencoder`: hide most of the sequence, encode only what is visible, let a light
    decoder name the rest (He et al. 2022). `contrastive`: two views of a subject, masked
    apart, must be closer than views of others (Chen et al. 2020)."""
    hidden_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.75
    """`masked_autoencoder`: the share of events that is hidden; `[masking] rate` is not read."""
    decoder_layers: Annotated[int, Field(ge=1, le=8)] = 1
    """`masked_autoencoder`: layers of the decoder; it is half as wide as the encoder."""
    contrastive_weight: Annotated[float, Field(ge=0.0, le=100.0)] = 0.0
    """The contrastive loss times this is added to the other two; each subject is then shown in
    two views. With `contrastive` it has no meaning and must be 0."""
    contrastive_group: Annotated[int, Field(ge=2, le=1_024)] = 32
    """Subjects of a batch that are told from each other. A group is one piece for the memory,
    so that the loss does not depend on a site's hardware. A subject alone in its group adds
    nothing: a site whose batches are of one subject learns nothing from its views."""
    temperature: Annotated[float, Field(gt=0.0, le=10.0)] = 0.1
    projection: Annotated[int, Field(ge=2, le=4_096)] = 64
    """Width in which views are compared."""

    @model_validator(mode="after")
    def _one_weight(self) -> "ObjectiveConfig":
        if self.kind == "contrastive" and self.contrastive_weight:
            raise ValueError("contrastive_weight is for the other kinds: leave it at 0")
        return self

    @property
    def num_views(self) -> int:
        """How often a step shows each subject."""
        return 2 if self.kind == "contrastive" or self.contrastive_weight else 1
