"""`StudyConfig`: what a coordinator proposes and a hospital approves, in one TOML file.

TOML becomes frozen sections; the sections become one JSON string, whose SHA-256 is the
study's digest. The JSON and its digest travel in each message. A component receives its
own section, never the whole.
"""

import hashlib
import json
from collections.abc import Container
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from fedehr_shared.config.cohort import CohortConfig
from fedehr_shared.config.evaluation import EvaluationConfig
from fedehr_shared.config.exchange import ExchangeConfig
from fedehr_shared.config.finetuning import FinetuningConfig
from fedehr_shared.config.lora import RESTARTING, LoraConfig
from fedehr_shared.config.loss import LossConfig
from fedehr_shared.config.masking import MaskingConfig
from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.name import Name
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.config.optimization import PretrainingConfig
from fedehr_shared.config.privacy import PrivacyConfig
from fedehr_shared.config.privacy_faults import privacy_fault
from fedehr_shared.config.private_defaults import with_private_defaults
from fedehr_shared.config.section import Section, parse, read_toml
from fedehr_shared.config.sequence import SequenceConfig
from fedehr_shared.config.task import TaskConfig
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
    lora: LoraConfig = LoraConfig()
    loss: LossConfig = LossConfig()
    tasks: dict[Name, TaskConfig] = Field(default_factory=dict)
    """By name, the kind of a task's outcome; see `task`."""
    exchange: ExchangeConfig = ExchangeConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    privacy: PrivacyConfig = PrivacyConfig()

    @model_validator(mode="before")
    @classmethod
    def _new_adapters_begin_afresh(cls, values: object) -> object:
        """The moments' default where `[lora] aggregation` gives each round new adapters."""
        if not isinstance(values, dict):
            return values
        lora, finetuning = values.get("lora"), values.get("finetuning")
        if not isinstance(lora, dict) or not isinstance(finetuning, dict):
            return values
        if finetuning.get("tuning") != "lora" or lora.get("aggregation") not in RESTARTING:
            return values
        return {**values, "finetuning": {"optimizer_state": "fresh", **finetuning}}

    @model_validator(mode="before")
    @classmethod
    def _noise_changes_defaults(cls, values: object) -> object:
        return with_private_defaults(values) if isinstance(values, dict) else values

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

    @model_validator(mode="after")
    def _model_has_its_vocabulary(self) -> "StudyConfig":
        if self.pretraining.reuse and not self.vocabulary.reuse:
            raise ValueError(
                "[pretraining] reuse names a model whose tokens are of one vocabulary: name that "
                "in [vocabulary] reuse too"
            )
        return self

    @model_validator(mode="after")
    def _tasks_are_asked_for(self) -> "StudyConfig":
        unknown = sorted(set(self.tasks) - set(self.finetuning.tasks))
        if unknown:
            raise ValueError(
                f"[tasks.{unknown[0]}] describes a task that [finetuning] tasks does not name"
            )
        if self.loss.task_weights == "fixed":
            if not any(self.task(name).weight for name in self.finetuning.tasks):
                raise ValueError("[loss] task_weights = 'fixed', and every task's weight is 0")
        else:
            weighed = [name for name, task in self.tasks.items() if task.weight != 1]
            if weighed:
                raise ValueError(
                    f"[tasks.{weighed[0]}] weight counts with [loss] task_weights = 'fixed' alone"
                )
        return self

    @model_validator(mode="after")
    def _adapters_fit(self) -> "StudyConfig":
        if self.finetuning.tuning != "lora":
            if self.lora != LoraConfig():
                raise ValueError("[lora] has settings, and [finetuning] tuning is not 'lora'")
            return self
        lora, model = self.lora, self.model
        if lora.layer_ranks and len(lora.layer_ranks) != model.layers:
            raise ValueError(
                f"[lora] layer_ranks has {len(lora.layer_ranks)} number(s), and the model "
                f"{model.layers} layer(s)"
            )
        highest = max(lora.rank_of(layer) for layer in range(model.layers))
        if highest > model.hidden and lora.variant == "lora":
            raise ValueError(
                f"[lora] has rank {highest}, and a layer is only {model.hidden} wide: choose a "
                "rank far below it"
            )
        if lora.restarts and self.finetuning.optimizer_state != "fresh":
            raise ValueError(
                f"[lora] aggregation '{lora.aggregation}' gives each round new adapters, to which "
                "the moments of the old do not belong: leave out [finetuning] optimizer_state"
            )
        if "adapters" in self.finetuning.local_parts and lora.aggregation != "average":
            raise ValueError(
                "[finetuning] local_parts keeps adapters at the sites, so that [lora] aggregation "
                "has nothing to do: leave it out"
            )
        return self

    @model_validator(mode="after")
    def _privacy_can_be_kept(self) -> "StudyConfig":
        fault = privacy_fault(self)
        if fault:
            raise ValueError(fault)
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

    def task(self, name: str) -> TaskConfig:
        """The kind of a task's outcome; binary where the study says nothing."""
        return self.tasks.get(name, TaskConfig())

    @property
    def task_configs(self) -> tuple[TaskConfig, ...]:
        """In the order of `[finetuning] tasks`."""
        return tuple(self.task(name) for name in self.finetuning.tasks)

    @property
    def tasks_by_name(self) -> dict[str, TaskConfig]:
        """In the order of `[finetuning] tasks`."""
        return {name: self.task(name) for name in self.finetuning.tasks}

    def with_tasks(self, names: Container[str]) -> "StudyConfig":
        """The same study with some of its tasks alone (and so another digest)."""
        tasks = tuple(name for name in self.finetuning.tasks if name in names)
        if tasks == self.finetuning.tasks:
            return self
        kinds = {name: task for name, task in self.tasks.items() if name in tasks}
        finetuning = self.finetuning.model_copy(update={"tasks": tasks})
        return self.model_copy(update={"finetuning": finetuning, "tasks": kinds})

    def num_rounds(self, phase: str) -> int:
        """Rounds of a phase; those before and after training have one."""
        rounds = {"pretraining": self.pretraining.rounds, "finetuning": self.finetuning.rounds}
        return rounds.get(phase, 1)

    def with_seed(self, seed: int) -> "StudyConfig":
        """The same study with another seed (and so another digest)."""
        return self.model_copy(update={"seed": seed})
