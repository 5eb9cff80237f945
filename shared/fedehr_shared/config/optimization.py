"""`[pretraining]`, and what it shares with `[finetuning]`: rounds, steps and AdamW."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedehr_shared.config.name import Digest, Share
from fedehr_shared.config.section import Section


class OptimizationConfig(Section):
    """Rounds, steps and AdamW of one phase; one schedule runs over all its rounds."""

    rounds: Annotated[int, Field(ge=0, le=10_000)] = 10
    steps_per_round: Annotated[int, Field(ge=1, le=100_000)] = 10
    """Optimizer steps that every site takes in a round."""
    epochs_per_round: Annotated[float, Field(ge=0, le=1_000)] = 0.0
    """With a number above 0 a round is so many passes over the site's subjects instead."""
    minutes_per_round: Annotated[float, Field(ge=0, le=10_080)] = 0.0
    """With a number above 0 a site ends its round after so many minutes, though it has taken
    fewer steps: slow sites are not left behind. A study with it cannot be repeated bit by bit."""
    steps_per_epoch: Annotated[int, Field(ge=1, le=100_000)] = 20
    """A site's batch is its number of training subjects divided by this, so that all sites
    take equally many steps whatever their size."""
    batch_subjects: Annotated[int, Field(ge=0, le=100_000)] = 0
    """With a number above 0 every site's batch has so many subjects instead, and a larger site
    has more steps to an epoch."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 3e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    """After the warm-up: a cosine to zero at the phase's end, or the same rate throughout."""
    warmup_share: Share = 0.1
    """Share of the phase's steps with a rising rate."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    proximal_weight: Annotated[float, Field(ge=0, le=1_000)] = 0.0
    """FedProx (Li et al. 2020): half of this times the squared distance from the round's first
    weights is added to the loss."""
    optimizer_state: Literal["averaged", "kept", "fresh"] = "averaged"
    """`averaged`: AdamW's moments are averaged with the weights and travel (three times the
    bytes); `kept`: each site keeps its own; `fresh`: every round starts with empty moments."""

    @model_validator(mode="after")
    def _one_length(self) -> "OptimizationConfig":
        default = type(self).model_fields["steps_per_round"].default
        if self.epochs_per_round and self.steps_per_round != default:
            raise ValueError("give steps_per_round or epochs_per_round, not both")
        return self


class PretrainingConfig(OptimizationConfig):
    """Self-supervised pre-training on the train split; 0 rounds leave it out."""

    reuse: Digest = ""
    """Digest of a model that an earlier study pre-trained, in place of rounds of its own; empty:
    none."""
    private_bias: bool = False
    """Each site fits an output bias of its own, for how often it uses which code. It never
    leaves the site."""

    @model_validator(mode="before")
    @classmethod
    def _no_rounds_of_its_own(cls, values: object) -> object:
        if not isinstance(values, dict) or not values.get("reuse"):
            return values
        if values.setdefault("rounds", 0) != 0:
            raise ValueError("with reuse there is nothing to pre-train: leave out rounds")
        return values
