"""`StudyConfig`: what a coordinator proposes and a hospital approves, in one TOML file.

TOML becomes frozen sections; the sections become one JSON string, whose SHA-256 is the
study's digest. The JSON and its digest travel in each message. A component receives its
own section, never the whole.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from fedehr_shared.config.cohort import CohortConfig
from fedehr_shared.config.masking import MaskingConfig
from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.name import Name
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.config.optimization import FinetuningConfig, PretrainingConfig
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
    objective: ObjectiveConfig = ObjectiveConfig()
    pretraining: PretrainingConfig = PretrainingConfig()
    finetuning: FinetuningConfig
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _objective_has_its_means(self) -> "StudyConfig":
        if self.objective.kind == "contrastive" and self.pretraining.private_bias:
            raise ValueError(
                "[pretraining] private_bias is added where events are named, and [objective] kind "
                "'contrastive' names none: leave out one of the two"
            )
        if self.objective.num_views == 2 and self.pretraining.batch_subjects == 1:
            raise ValueError(
                "[objective] tells a subject from the others of its batch, and [pretraining] "
                "batch_subjects = 1 leaves it none: give at least 2"
            )
        return self

    @model_validator(mode="after")
    def _rounds_end_in_time(self) -> "StudyConfig":
        deadline = self.federation.round_deadline_seconds
        for name, phase in (("pretraining", self.pretraining), ("finetuning", self.finetuning)):
            if 60 * phase.minutes_per_round >= deadline:
                raise ValueError(
                    f"[{name}] minutes_per_round = {phase.minutes_per_round:g} leaves no time to "
                    f"answer within [federation] round_deadline_seconds = {deadline:g}: raise the "
                    "deadline, or give fewer minutes"
                )
        return self

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

    def num_rounds(self, phase: str) -> int:
        """Rounds of a phase; those before and after training have one."""
        rounds = {"pretraining": self.pretraining.rounds, "finetuning": self.finetuning.rounds}
        return rounds.get(phase, 1)

    def with_seed(self, seed: int) -> "StudyConfig":
        """The same study with another seed (and so another digest)."""
        return self.model_copy(update={"seed": seed})
