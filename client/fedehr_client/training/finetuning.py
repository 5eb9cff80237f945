"""A round of fine-tuning: one head a task on the pooled encoding."""

from dataclasses import replace
from typing import Final

import numpy as np
import torch

from fedehr_client.privacy.mechanism import Mechanism
from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_client.training.examples import Examples
from fedehr_client.training.fitting import fit_round
from fedehr_client.training.labelled_batches import LabelledBatch, LabelledBatches
from fedehr_client.training.loop import RoundContext, RoundResult, RoundTrainer
from fedehr_client.training.private_batches import PrivateLabelledBatches
from fedehr_client.training.private_fitting import fit_private_round
from fedehr_client.training.round_plan import RoundPlan
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.heads.multitask import MultitaskLoss
from fedehr_shared.model.heads.task_parts import TaskParts
from fedehr_shared.model.tuning.plan import TuningPlan
from fedehr_shared.tokens.padded_labels import PaddedLabelledBatch
from fedehr_shared.tokens.store import TokenStore

PHASE: Final = "finetuning"


def finetune_round(context: RoundContext, store: TokenStore, examples: Examples) -> RoundResult:
    """Train one round; what is drawn depends on (study, phase, site, step) alone, or with
    differential privacy on the site's own randomness.

    Raises:
        TrainingError: a loss is NaN or infinite, or memory does not suffice.
        TooFewSubjectsError: the round would rest on fewer than `min_cell` subjects.
        WireError: the weights do not fit the model.
    """
    if context.study.privacy.is_private(PHASE):
        return _finetune_privately(context, store, examples)
    study, tuning = context.study, context.study.finetuning
    plan = RoundPlan.of(
        tuning,
        store.rows_of(examples.subject_ids),
        context.round_number,
        seed=(study.digest, PHASE, context.site),
        min_cell=context.min_cell,
    )
    model = _model(context)
    loss = MultitaskLoss(study, context.balance).to(context.device)

    def loss_of(labelled: LabelledBatch) -> torch.Tensor:
        logits = model(labelled.batch).float()
        given = (labelled.labels, labelled.num_step_labels)
        found: torch.Tensor = loss(logits, *given, model.log_variances)
        return found

    trainer = _trainer(context, model, None)
    context, budget = fit_round(context, PHASE, model, loss_of)
    batches = LabelledBatches(study, context.site, store, examples, plan.rows)
    return _of_own_tasks(
        trainer.run(context, batches, loss_of, plan=plan, budget=budget), study, examples
    )


def _finetune_privately(
    context: RoundContext, store: TokenStore, examples: Examples
) -> RoundResult:
    """All heads of the study learn at every site, one without a label of a task from noise alone:
    whether somebody's label is there must not be told by what moves."""
    study = context.study
    plan = RoundPlan.private(
        study.finetuning,
        np.unique(examples.subject_ids).size,
        context.round_number,
        seed=(study.digest, PHASE, context.site),
        min_cell=context.min_cell,
    )
    model = _model(context)
    loss = MultitaskLoss(study, context.balance).to(context.device)

    def losses_of(labelled: PaddedLabelledBatch) -> torch.Tensor:
        logits = model(labelled.batch).float()
        return loss.by_subject(logits, labelled.labels, model.log_variances_of(labelled.labels))

    trainer = _trainer(context, model, Mechanism.of(study, PHASE))
    context, fit = fit_private_round(context, PHASE, model)
    randomness = context.randomness or PrivateRandomness()
    batches = PrivateLabelledBatches(study, store, examples, randomness, fit.most_rows)
    return trainer.run(context, batches, losses_of, plan=plan, budget=fit.budget)


def _model(context: RoundContext) -> FinetuningModel:
    return context.models.take(
        FinetuningModel,
        lambda: FinetuningModel(context.study, context.num_tokens),
        study=context.study,
        num_tokens=context.num_tokens,
        weights=context.weights,
        device=context.device,
    )


def _trainer(
    context: RoundContext, model: FinetuningModel, mechanism: Mechanism | None
) -> RoundTrainer:
    tuned = TuningPlan.of(context.study)
    return RoundTrainer(
        model,
        context.study.finetuning,
        lambda name: tuned.rate_factor(name, context.round_number),
        tuning=tuned,
        mechanism=mechanism,
    )


def _of_own_tasks(result: RoundResult, study: StudyConfig, examples: Examples) -> RoundResult:
    """What a round did, but nothing to the heads of tasks without a label: weight decay would
    shrink them."""
    is_trained = [not np.isnan(column).all() for column in examples.labels.T]
    if all(is_trained):
        return result
    parts = TaskParts.of(study)
    moments = None if result.moments is None else parts.without(result.moments, is_trained)
    return replace(result, update=parts.without(result.update, is_trained), moments=moments)
