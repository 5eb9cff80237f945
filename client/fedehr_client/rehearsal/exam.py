"""`examine`: a model's loss on subjects with fixed masks, beside that of a model that learned
nothing of how events go together."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.precision import autocast
from fedehr_client.compute.prepare import prepare_model
from fedehr_client.rehearsal.accuracy import masked_of
from fedehr_client.training.batches import PretrainingBatches, PretrainingData
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.pretraining_model import PretrainingBatch, PretrainingModel
from fedehr_shared.model.weights import build_model
from fedehr_shared.tokens.views import ViewPairs
from fedehr_shared.wire.payload import Arrays

_SUBJECTS_A_BATCH = 64
_TOKENS_AT_ONCE = 4_096
"""Where no budget is set; without gradients this fits wherever the model itself does."""


@dataclass(frozen=True)
class Exam:
    """Two mean losses, in nats, over the same questions.

    Attributes:
        loss: the model's.
        reference: of naming events by the code frequencies alone; for contrastive pre-training
            of guessing the other view of a subject.
    """

    loss: float
    reference: float


def examine(
    study: StudyConfig,
    site: str,
    data: PretrainingData,
    *,
    weights: Arrays,
    frequency_losses: NDArray[np.float64],
    compute: Compute,
) -> Exam:
    """Ask a model for the hidden events of every subject once.

    A contrastive loss that the study adds to another kind is left out: the reference is one of
    naming events.

    Args:
        study: the study.
        site: the site's name, for the masks' seed.
        data: the subjects; at least one.
        weights: of the study's pre-training model.
        frequency_losses: `[vocabulary]`, of the training split.
        compute: where to compute.
    """
    asked = _naming_alone(study, data.rows.size)
    model = _model_of(asked, data.code_of_token.size, weights).to(compute.device)
    prepare_model(model, compute)
    model.eval()
    batches = PretrainingBatches(asked, site, data)
    total = reference = num_questions = 0.0
    for step in range(asked.pretraining.steps_per_epoch):
        batch = batches(step)
        num, own_reference = _questions(batch, frequency_losses)
        total += loss_of_batch(model, batch, compute) * num
        reference += own_reference
        num_questions += num
    return Exam(total / max(1.0, num_questions), reference / max(1.0, num_questions))


@torch.no_grad()
def loss_of_batch(model: PretrainingModel, batch: PretrainingBatch, compute: Compute) -> float:
    """The mean loss over a batch's questions, in nats: those of its pieces add up to it."""
    pieces = batch.split(compute.token_budget or _TOKENS_AT_ONCE)
    with autocast(compute.device, compute.precision):
        losses = [model(piece.to(compute.device)) for piece in pieces]
    return float(torch.stack(losses).double().sum())


def _naming_alone(study: StudyConfig, num_subjects: int) -> StudyConfig:
    objective = study.objective.model_copy(update={"contrastive_weight": 0.0})
    num_batches = math.ceil(num_subjects / _SUBJECTS_A_BATCH)
    phase = study.pretraining.model_copy(
        update={"steps_per_epoch": num_batches, "batch_subjects": 0}
    )
    return study.model_copy(update={"objective": objective, "pretraining": phase})


def _model_of(study: StudyConfig, num_tokens: int, weights: Arrays) -> PretrainingModel:
    def make() -> PretrainingModel:
        return PretrainingModel.of(study, num_tokens)

    with torch.device("meta"):
        wanted = {name for name, _ in make().named_parameters()}
    return build_model(make, {name: weights[name] for name in wanted})


def _questions(
    batch: PretrainingBatch, frequency_losses: NDArray[np.float64]
) -> tuple[float, float]:
    """How many questions a batch asks, and what the reference loses on all of them."""
    if isinstance(batch, ViewPairs):
        return float(batch.num_step_subjects), _chance(batch)
    targets = masked_of(batch).targets.numpy()
    return float(targets.size), float(frequency_losses[targets].sum())


def _chance(pairs: ViewPairs) -> float:
    """Of guessing a view among all others of its group, summed over subjects, in nats."""
    num_subjects = pairs.views.batch.num_sequences // 2
    num_whole, rest = divmod(num_subjects, pairs.group)
    sizes = [pairs.group] * num_whole + [rest]
    return sum(size * math.log(2 * size - 1) for size in sizes if size > 1)
