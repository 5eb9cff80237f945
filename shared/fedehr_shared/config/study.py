"""`StudyConfig`: what a coordinator proposes and a hospital approves, in one TOML file.

TOML becomes frozen sections; the sections become one JSON string, whose SHA-256 is the
study's digest. The JSON and its digest travel in each message. A component receives its
own section, never the whole.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedehr_shared.config.cohort import CohortConfig
from fedehr_shared.config.masking import MaskingConfig
from fedehr_shared.config.name import Name, Share
from fedehr_shared.config.section import Section, parse, read_toml
from fedehr_shared.config.sequence import SequenceConfig
from fedehr_shared.config.vocabulary import VocabularyConfig
from fedehr_shared.errors import ConfigError


class FederationConfig(Section):
    """How many sites take part and how long a round waits."""

    min_sites: Annotated[int, Field(ge=1, le=10_000)] = 2
    """A round counts only with at least this many answers."""
    round_deadline_seconds: Annotated[float, Field(gt=0, le=604_800)] = 3_600.0
    """A round ends at its deadline or when all have answered."""
    join_deadline_seconds: Annotated[float, Field(gt=0, le=604_800)] = 3_600.0
    """How long the run waits for its sites to connect."""
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """How often a site that answered with an error is asked in one round."""


class ModelConfig(Section):
    """The encoder's size. The head width `hidden / heads` must be even."""

    layers: Annotated[int, Field(ge=1, le=48)] = 2
    hidden: Annotated[int, Field(ge=8, le=4_096)] = 64
    heads: Annotated[int, Field(ge=1, le=64)] = 2
    pooling: Literal["mean", "sum"] = "mean"
    """How token encodings become one subject encoding for the task heads."""

    @model_validator(mode="after")
    def _even_heads(self) -> "ModelConfig":
        if self.hidden % (2 * self.heads):
            raise ValueError(
                f"hidden ({self.hidden}) must be a multiple of 2 x heads ({2 * self.heads})"
            )
        return self


class OptimizationConfig(Section):
    """Rounds, steps and AdamW of one phase; one schedule runs over all its rounds."""

    rounds: Annotated[int, Field(ge=0, le=10_000)] = 10
    steps_per_round: Annotated[int, Field(ge=1, le=100_000)] = 10
    """Optimizer steps that every site takes in a round."""
    steps_per_epoch: Annotated[int, Field(ge=1, le=100_000)] = 20
    """A site's batch is its number of training subjects divided by this, so that all sites
    take equally many steps whatever their size."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 3e-3
    warmup_share: Share = 0.1
    """Share of the phase's steps with a rising rate; a cosine to zero follows."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    optimizer_state: Literal["averaged", "fresh"] = "averaged"
    """`averaged`: AdamW's moments are averaged with the weights and travel (three times the
    bytes); `fresh`: every round starts with empty moments."""


class PretrainingConfig(OptimizationConfig):
    """Masked-event pre-training on the train split; 0 rounds leave it out."""


class FinetuningConfig(OptimizationConfig):
    """Fine-tuning with one head a task, from the pre-trained weights."""

    tasks: Annotated[tuple[Name, ...], Field(min_length=1, max_length=64)]
    """Tasks, each a `labels/<task>.parquet` at the sites that hold it."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-2
    """The heads' rate; see `encoder_rate_factor`."""
    encoder_rate_factor: Annotated[float, Field(ge=0, le=1)] = 0.03
    """The encoder's learning rate as a share of the heads'; 0 trains the heads alone."""
    wide: bool = True
    """Add to each head a linear term over the tokens that a sequence holds."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the pooled encoding, in training only."""


class EvaluationConfig(Section):
    """The held-out evaluation that ends a study."""

    num_bootstraps: Annotated[int, Field(ge=100, le=10_000)] = 1_000
    """Bootstrap replicates over subjects for the 95 % intervals."""


class StudyConfig(Section):
    """A whole study."""

    name: Name
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    federation: FederationConfig = FederationConfig()
    vocabulary: VocabularyConfig = VocabularyConfig()
    cohort: CohortConfig = CohortConfig()
    sequence: SequenceConfig = SequenceConfig()
    model: ModelConfig = ModelConfig()
    masking: MaskingConfig = MaskingConfig()
    pretraining: PretrainingConfig = PretrainingConfig()
    finetuning: FinetuningConfig
    evaluation: EvaluationConfig = EvaluationConfig()

    @classmethod
    def load(cls, path: Path) -> "StudyConfig":
        """Read a `study.toml`.

        Raises:
            ConfigError: the file is missing, is not TOML or holds a wrong key.
        """
        return read_toml(path, cls)

    @classmethod
    def from_json(cls, text: str) -> "StudyConfig":
        """Read what `to_json` wrote.

        Raises:
            ConfigError: the text is not a study.
        """

        try:
            values = json.loads(text)
        except ValueError as error:
            raise ConfigError("the study is not valid JSON. Submit it again.") from error
        return parse(values, cls, "the study in the message")

    def to_json(self) -> str:
        """One canonical line: the digest is over these bytes."""

        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """SHA-256 of `to_json`, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def with_seed(self, seed: int) -> "StudyConfig":
        """The same study with another seed (and so another digest)."""
        return self.model_copy(update={"seed": seed})
