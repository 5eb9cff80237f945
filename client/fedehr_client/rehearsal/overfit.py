"""`overfit`: a few subjects with fixed masks, learned by heart.

A model and a loop that are sound drive this loss to zero. Where it stays up, the records, the
model or the loop have a fault, or the model is too small.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from fedehr_client.compute.prepare import prepare_model
from fedehr_client.rehearsal.accuracy import masked_of, naming_accuracy
from fedehr_client.rehearsal.exam import loss_of_batch
from fedehr_client.training.batches import PretrainingBatches, PretrainingData
from fedehr_client.training.loop import RoundTrainer
from fedehr_client.training.round import RoundContext
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import build_model

NEAR_ZERO_NATS = 0.05
NEAR_ZERO_SHARE = 0.01
MOST_STEPS = 1_000
_STEPS_A_LOOK = 5
_NUM_WARMUP = 10


@dataclass(frozen=True)
class Overfit:
    """How far a few subjects were learned by heart.

    Attributes:
        num_subjects: how many.
        num_hidden: events to be named; 0 where the objective names none.
        num_steps: optimizer steps taken.
        seconds: that they took.
        first_loss: before the first step, in nats.
        loss: mean over the last few steps, in nats.
        floor: the least that the loss can be, in nats; above 0 only for a contrastive loss.
        accuracy: share of the hidden events that are named rightly at the end; None where none
            are named.
    """

    num_subjects: int
    num_hidden: int
    num_steps: int
    seconds: float
    first_loss: float
    loss: float
    floor: float
    accuracy: float | None

    @property
    def reached(self) -> bool:
        """Whether the loss came near zero: below 0.05 nats, or 1 % of the first."""
        most = max(NEAR_ZERO_NATS, NEAR_ZERO_SHARE * self.first_loss)
        return self.loss - self.floor < most

    @property
    def sentence(self) -> str:
        """What came of it, and what that means."""
        task = f"{self.num_hidden:,} hidden events" if self.num_hidden else "two views of each"
        told = (
            f"{self.num_subjects} subject(s), {task}: loss {self.first_loss:.3f} -> "
            f"{self.loss:.3f} nats in {self.num_steps:,} steps and {self.seconds:.1f} s"
        )
        if self.accuracy is not None:
            told += f", {self.accuracy:.0%} named rightly"
        if self.reached:
            return f"learned by heart: {told}. Records, model and training loop can learn."
        return (
            f"not learned by heart: {told}. A sound model of enough size brings this loss near "
            "zero. First try another [pretraining] learning_rate, then a larger [model] size and "
            "more --steps; if it still stays up, the records, the model or the training loop has "
            "a fault: look at `fedehr-client check`."
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "reached": self.reached, "sentence": self.sentence}


def overfit(
    context: RoundContext,
    data: PretrainingData,
    *,
    most_steps: int,
    most_seconds: float | None,
    report: Callable[[int, float], None],
) -> Overfit:
    """Take steps on one batch at the study's rate until its loss is near zero.

    Args:
        context: the study, its first weights and what to compute with.
        data: the few subjects.
        most_steps: where to give up.
        most_seconds: when to give up; None: never before `most_steps`.
        report: told the steps done and the loss.

    Raises:
        TrainingError: a loss or gradient is NaN or infinite.
    """
    study = _one_batch(context.study)
    batch = PretrainingBatches(study, context.site, data)(0)
    model = build_model(lambda: PretrainingModel.of(study, context.num_tokens), context.weights).to(
        context.device
    )
    prepare_model(model, context.compute)
    trainer = RoundTrainer(model, study.pretraining, lambda _: 1.0)
    found = Overfit(
        num_subjects=data.rows.size,
        num_hidden=masked_of(batch).targets.numel() if model.naming is not None else 0,
        num_steps=0,
        seconds=0.0,
        first_loss=loss_of_batch(model, batch, context.compute),
        loss=math.inf,
        floor=_floor(study.objective, data.rows.size),
        accuracy=None,
    )
    began = time.monotonic()
    while not found.reached and found.num_steps < most_steps:
        number = found.num_steps // _STEPS_A_LOOK + 1
        look = replace(context, study=study, round_number=number, moments=None, local_state=None)
        done = trainer.run(look, lambda _: batch, model)
        found = replace(
            found,
            num_steps=found.num_steps + done.num_steps,
            loss=done.loss,
            seconds=time.monotonic() - began,
        )
        report(found.num_steps, found.loss)
        if most_seconds is not None and found.seconds > most_seconds:
            break
    return replace(found, accuracy=naming_accuracy(model, batch, context.compute))


def _one_batch(study: StudyConfig) -> StudyConfig:
    """The study with all subjects in each batch, at its learning rate throughout."""
    changes = {
        "rounds": MOST_STEPS,
        "steps_per_round": _STEPS_A_LOOK,
        "epochs_per_round": 0.0,
        "minutes_per_round": 0.0,
        "steps_per_epoch": 1,
        "batch_subjects": 0,
        "schedule": "constant",
        "warmup_share": _NUM_WARMUP / (MOST_STEPS * _STEPS_A_LOOK),
        "weight_decay": 0.0,
        "proximal_weight": 0.0,
        "optimizer_state": "fresh",
        "private_bias": False,
    }
    return study.model_copy(update={"pretraining": study.pretraining.model_copy(update=changes)})


def _floor(objective: ObjectiveConfig, num_subjects: int) -> float:
    """The least contrastive loss, in nats: the views of a subject alike, and the subjects as far
    apart as the corners of a simplex, where all cosines are -1 / (subjects - 1)."""
    if objective.num_views == 1 or num_subjects == 1:
        return 0.0
    size = min(num_subjects, objective.contrastive_group)
    distance = 1 + 1 / (size - 1)
    weight = objective.contrastive_weight or 1.0
    return weight * math.log1p((2 * size - 2) * math.exp(-distance / objective.temperature))
