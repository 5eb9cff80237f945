"""`Rehearsal`: a study's pre-training at one site alone; nothing is sent or kept."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from fedehr_client.answers.site_data import SiteData
from fedehr_client.compute.compute import Compute, choose_compute
from fedehr_client.locator import SiteLocation
from fedehr_client.training.batches import PretrainingData
from fedehr_client.training.entropy import code_entropy, frequency_losses
from fedehr_client.training.exam import Exam, examine
from fedehr_client.training.few_subjects import few_subjects
from fedehr_client.training.overfit import MOST_STEPS, Overfit, overfit
from fedehr_client.training.pretraining import pretrain_round
from fedehr_client.training.round import RoundContext
from fedehr_client.training.step_numbers import StepObserver
from fedehr_client.training.verdict import Verdict
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError, PolicyError
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import TUNING
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import draw_first_weights
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
        self.compute: Compute = choose_compute(location.compute, study)
        check_budget(self.compute.token_budget, study.sequence.context)
        data = SiteData(location, study, vocabulary)
        self.min_cell = data.min_cell
        self.num_tokens = data.num_tokens
        self.training = data.pretraining()
        self.held_out = self._tuning_subjects()

    @cached_property
    def code_entropy(self) -> float:
        """Of the training split, in nats."""
        return code_entropy(self.training)

    @property
    def names_events(self) -> bool:
        """Whether the study's objective names hidden events."""
        return self.study.objective.kind != "contrastive"

    def model(self) -> PretrainingModel:
        """The study's pre-training model, without weights or memory for them."""
        with torch.device("meta"):
            return PretrainingModel(self.study.model, self.study.objective, self.num_tokens)

    def train(self, length: RehearsalLength, observe: StepObserver) -> Rehearsed:
        """Pre-train on the training split, then ask the model about both splits.

        Raises:
            TrainingError: a loss or gradient is NaN or infinite.
            TooFewSubjectsError: so few steps rest on fewer than `min_cell` subjects.
        """
        context = replace(self._context(_of_length(self.study, length)), observe=observe)
        done = pretrain_round(context, self.training)
        weights = {name: context.weights[name] + done.update[name] for name in done.update}
        verdict = Verdict(
            training=self._examine(self.training, weights),
            held_out=self._examine(self.held_out, weights) if self.held_out else None,
            names_events=self.names_events,
        )
        return Rehearsed(done.num_steps, done.seconds, verdict, weights)

    def overfit(
        self, num_subjects: int, length: RehearsalLength, report: Callable[[int, float], None]
    ) -> Overfit:
        """Learn a few training subjects by heart.

        Raises:
            UsageError: there are not so many.
            TrainingError: a loss or gradient is NaN or infinite.
        """
        few = few_subjects(self.training, num_subjects, self.study.digest)
        return overfit(
            self._context(self.study),
            few,
            most_steps=length.num_steps or MOST_STEPS,
            most_seconds=None if length.minutes is None else length.minutes * 60,
            report=report,
        )

    def _context(self, study: StudyConfig) -> RoundContext:
        return RoundContext(
            study=study,
            site=self.location.name,
            round_number=1,
            num_tokens=self.num_tokens,
            weights=draw_first_weights(self.model(), study.seed, "pretraining"),
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
