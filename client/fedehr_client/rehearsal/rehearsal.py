"""`Rehearsal`: a study's pre-training at one site alone; nothing is sent or kept."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from fedehr_client.answers.site_data import SiteData
from fedehr_client.check.cell_rule import CellRule
from fedehr_client.compute.compute import Compute, choose_compute
from fedehr_client.compute.memory import estimate_memory
from fedehr_client.locator import SiteLocation
from fedehr_client.privacy.settled_noise import settled_noise
from fedehr_client.rehearsal.exam import Exam, examine
from fedehr_client.rehearsal.few_subjects import few_subjects
from fedehr_client.rehearsal.overfit import MOST_STEPS, Overfit, overfit
from fedehr_client.rehearsal.rehearsal_plan import RehearsalPlan
from fedehr_client.rehearsal.verdict import Verdict
from fedehr_client.training.batch_size import usual_batch_tokens
from fedehr_client.training.batches import PretrainingData
from fedehr_client.training.entropy import code_entropy, frequency_losses
from fedehr_client.training.pretraining import pretrain_round
from fedehr_client.training.round import RoundContext
from fedehr_client.training.step_numbers import StepObserver
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError, PolicyError, UsageError
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import TUNING
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import draw_first_weights
from fedehr_shared.privacy.study_cost import StudyCost
from fedehr_shared.seeds import derive_generator
from fedehr_shared.tokens.budget import check_budget
from fedehr_shared.tokens.maskable import has_maskable
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.payload import Arrays

_MOST_EXAMINED = 512
"""Subjects of a split whose loss is taken at the end: enough for a mean, quick on a processor."""
_MOST_STEPS_BY_THE_CLOCK = 100_000
_NUM_WARMUP_BY_THE_CLOCK = 50


@dataclass(frozen=True)
class RehearsalLength:
    """How long to train.

    Attributes:
        num_steps: optimizer steps; None: those of all rounds of the study.
        minutes: by the clock instead, at the same rate throughout; None: by steps.
    """

    num_steps: int | None = None
    minutes: float | None = None


@dataclass(frozen=True)
class Rehearsed:
    """What came of it.

    Attributes:
        num_steps: optimizer steps taken.
        seconds: that they took.
        verdict: the losses beside their references.
        weights: the model's, by name.
    """

    num_steps: int
    seconds: float
    verdict: Verdict
    weights: Arrays

    def to_dict(self) -> dict[str, Any]:
        """For JSON; the weights stay out."""
        return {"num_steps": self.num_steps, "seconds": self.seconds, **self.verdict.to_dict()}


class Rehearsal:
    """One site's records, made ready for pre-training by a study."""

    def __init__(self, location: SiteLocation, study: StudyConfig, vocabulary: Vocabulary) -> None:
        """Choose what to compute with, and build the token store in the site's work folder.

        Args:
            location: the site.
            study: the study.
            vocabulary: the study's, or one of the site's own codes.

        Raises:
            ConfigError: the hardware cannot do what is asked for, or the token budget is below
                the study's context.
            DataError: the records cannot be trained on.
            PolicyError: the study's `min_cell` is below the site's.
        """
        if study.vocabulary.min_cell < location.min_cell:
            raise PolicyError(
                f"the study asks for min_cell = {study.vocabulary.min_cell}, this site's floor is "
                f"{location.min_cell}. Raise [vocabulary] min_cell in the study."
            )
        if study.pretraining.rounds == 0:
            raise ConfigError(
                "the study has no pre-training: [pretraining] rounds is 0. Raise it, or name "
                "another study."
            )
        self.location = location
        self.study = study
        if location.compute.num_threads:
            torch.set_num_threads(location.compute.num_threads)
        self.compute: Compute = choose_compute(location.compute, study)
        check_budget(self.compute.token_budget, study.sequence.context)
        data = SiteData(location, study, vocabulary)
        self.min_cell = data.min_cell
        self.num_tokens = data.num_tokens
        self._vocabulary_digest = vocabulary.digest
        self.training = data.pretraining()
        self.held_out = self._tuning_subjects()

    def plan(self, num_subjects: int | None = None) -> RehearsalPlan:
        """What is known before the first step.

        Args:
            num_subjects: of a batch; None: as the study has it.

        Raises:
            ConfigError: no noise keeps the study within its target epsilon.
        """
        rows = self.training.rows
        lengths = np.diff(self.training.store.offsets)[rows]
        memory = estimate_memory(self.study, "pretraining", self.num_tokens, self.compute)
        batch = usual_batch_tokens(self.study, self.training, num_subjects)
        at_once = min(batch, self.compute.token_budget or batch)
        return RehearsalPlan(
            site=self.location.name,
            study=self.study.name,
            objective=self.study.objective.kind,
            compute=self.compute.describe(),
            num_subjects=CellRule(self.min_cell).subjects(rows.size),
            num_training_tokens=int(lengths.sum()),
            longest=int(lengths.max()) + 1,
            context=self.study.sequence.context,
            num_tokens=self.num_tokens,
            code_entropy=code_entropy(self.training),
            num_parameters=sum(p.numel() for p in self._model().parameters()),
            memory=memory.describe(at_once),
            memory_bytes=memory.total_bytes(at_once),
            noise_multiplier=StudyCost.of(self.study).noise_multiplier if self._is_private else 0.0,
        )

    @property
    def about(self) -> dict[str, str]:
        """What weights that are kept say of themselves."""
        return {"study": self.study.digest, "vocabulary": self._vocabulary_digest}

    def _model(self) -> PretrainingModel:
        """The study's model, without memory for its weights."""
        with torch.device("meta"):
            return PretrainingModel.of(self.study, self.num_tokens)

    def train(self, length: RehearsalLength, observe: StepObserver) -> Rehearsed:
        """Pre-train on the training split, then ask the model about both splits.

        With noise, where the study has any: nothing leaves, so that nothing is charged.

        Raises:
            UsageError: the clock is to end steps that have noise.
            TrainingError: a loss or gradient is NaN or infinite.
            TooFewSubjectsError: so few steps rest on fewer than `min_cell` subjects.
        """
        if length.minutes is not None and self._is_private:
            raise UsageError(
                "--minutes ends training by the clock, and the study's rounds have noise: their "
                "steps are counted. Give --steps."
            )
        study = _of_length(settled_noise(self.study), length)
        context = replace(self._context(study), observe=observe)
        done = pretrain_round(context, self.training)
        weights = {name: context.weights[name] + done.update[name] for name in done.update}
        verdict = Verdict(
            training=self._examine(self.training, weights),
            held_out=self._examine(self.held_out, weights) if self.held_out else None,
            names_events=self.study.objective.kind != "contrastive",
        )
        return Rehearsed(done.num_steps, done.seconds, verdict, weights)

    def few_subjects(self, num_subjects: int) -> PretrainingData:
        """Training subjects to be learned by heart.

        Raises:
            UsageError: there are not so many, or the objective needs more.
        """
        if self.study.objective.num_views == 2 and num_subjects == 1:
            raise UsageError(
                "--overfit 1 leaves nothing to tell a subject's views from. Name 2 or more."
            )
        return few_subjects(self.training, num_subjects, self.study.digest)

    def overfit(
        self, few: PretrainingData, length: RehearsalLength, report: Callable[[int, float], None]
    ) -> Overfit:
        """Learn a few training subjects by heart; without noise, which is there to prevent it.

        Raises:
            TrainingError: a loss or gradient is NaN or infinite.
        """
        return overfit(
            self._context(self.study),
            few,
            most_steps=length.num_steps or MOST_STEPS,
            most_seconds=None if length.minutes is None else length.minutes * 60,
            report=report,
        )

    @property
    def _is_private(self) -> bool:
        return self.study.privacy.is_private("pretraining")

    def _context(self, study: StudyConfig) -> RoundContext:
        return RoundContext(
            study=study,
            site=self.location.name,
            round_number=1,
            num_tokens=self.num_tokens,
            weights=draw_first_weights(self._model(), study.seed, "pretraining"),
            moments=None,
            compute=self.compute,
            work=self.location.work,
        )

    def _examine(self, data: PretrainingData, weights: Arrays) -> Exam:
        order = derive_generator(self.study.digest, "exam").permutation(data.rows.size)
        some = replace(data, rows=data.rows[np.sort(order[:_MOST_EXAMINED])])
        return examine(
            self.study,
            self.location.name,
            some,
            weights=weights,
            frequency_losses=frequency_losses(self.training),
            compute=self.compute,
        )

    def _tuning_subjects(self) -> PretrainingData | None:
        """Those with an event that may be hidden; None where there are fewer than `min_cell`."""
        store, splits = self.training.store, read_splits(self.location.records)
        in_split = [splits.get(subject) == TUNING for subject in store.subject_ids.tolist()]
        rows = np.flatnonzero(in_split & has_maskable(store, self.training.is_maskable))
        return replace(self.training, rows=rows) if rows.size >= self.min_cell else None


def _of_length(study: StudyConfig, length: RehearsalLength) -> StudyConfig:
    """The study as one round of that length, whose schedule ends with it."""
    phase = study.pretraining
    changes: dict[str, object] = {
        "proximal_weight": 0.0,
        "optimizer_state": "fresh",
        "private_bias": False,
        "minutes_per_round": 0.0,
        "rounds": 1,
        "epochs_per_round": phase.rounds * phase.epochs_per_round,
        "steps_per_round": phase.rounds * phase.steps_per_round,
    }
    if length.num_steps is not None:
        changes |= {"epochs_per_round": 0.0, "steps_per_round": length.num_steps}
    if length.minutes is not None:
        changes |= {
            "minutes_per_round": length.minutes,
            "epochs_per_round": 0.0,
            "steps_per_round": _MOST_STEPS_BY_THE_CLOCK,
            "schedule": "constant",
            "warmup_share": _NUM_WARMUP_BY_THE_CLOCK / _MOST_STEPS_BY_THE_CLOCK,
        }
    return study.model_copy(update={"pretraining": phase.model_copy(update=changes)})
