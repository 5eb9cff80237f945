"""`[masking]`: which events are hidden in pre-training."""

from typing import Annotated

from pydantic import Field, model_validator

from fedehr_shared.config.name import Share
from fedehr_shared.config.section import Section


class MaskingConfig(Section):
    """Masked events after BERT (Devlin et al. 2019): of the chosen positions a share is
    replaced by `[MASK]`, a share by a random token, the rest stays."""

    rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.30
    """The expected share of hidden positions, whatever the two settings below."""
    mask_share: Share = 0.80
    random_share: Share = 0.10
    hide_copies: bool = True
    """Hide all events of a code in a visit together, lest the model copy one from another."""
    whole_visit_share: Share = 0.20
    """In this share of sequences one whole visit is hidden instead of single codes, unless the
    visit drawn is more than half of its sequence."""

    @model_validator(mode="after")
    def _shares(self) -> "MaskingConfig":
        if self.mask_share + self.random_share > 1.0:
            raise ValueError("mask_share + random_share must not exceed 1")
        return self
