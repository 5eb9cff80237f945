"""A round of pre-training on the site's training subjects, by the study's objective."""

from typing import Final

import torch

from fedehr_client.privacy.mechanism import Mechanism
from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_client.training.batches import PretrainingBatches, PretrainingData
from fedehr_client.training.fitting import fit_round
from fedehr_client.training.loop import RoundContext, RoundResult, RoundTrainer
from fedehr_client.training.private_batches import PrivatePretrainingBatches
from fedehr_client.training.private_bias import PrivateBias
from fedehr_client.training.private_fitting import fit_private_round
from fedehr_client.training.round_plan import RoundPlan
from fedehr_shared.model.pretraining_model import PretrainingBatch, PretrainingModel

__all__ = ["PretrainingData", "pretrain_round"]

PHASE: Final = "pretraining"


def pretrain_round(context: RoundContext, data: PretrainingData) -> RoundResult:
    """Train one round; what is drawn depends on (study, phase, site, step) alone, or with
    differential privacy on the site's own randomness.

    Raises:
        TrainingError: a loss is NaN or infinite, or memory does not suffice.
        TooFewSubjectsError: the round would rest on fewer than `min_cell` subjects.
        WireError: the weights do not fit the model.
    """
    if context.study.privacy.is_private(PHASE):
        return _pretrain_privately(context, data)
    study, config = context.study, context.study.pretraining
    seed = (study.digest, PHASE, context.site)
    plan = RoundPlan.of(
        config, data.rows, context.round_number, seed=seed, min_cell=context.min_cell
    )
    model = _model(context)
    bias = PrivateBias(data.token_counts).to(context.device) if config.private_bias else None
    offset = None if bias is None else bias.values

    def loss_of(piece: PretrainingBatch) -> torch.Tensor:
        loss: torch.Tensor = model(piece, offset)
        return loss

    context, budget = fit_round(context, PHASE, model, loss_of)
    batches = PretrainingBatches(study, context.site, data, plan.rows, plan.epoch)
    trainer = RoundTrainer(model, config, lambda _: 1.0, private_bias=bias)
    return trainer.run(context, batches, loss_of, plan=plan, budget=budget)


def _pretrain_privately(context: RoundContext, data: PretrainingData) -> RoundResult:
    study, config = context.study, context.study.pretraining
    plan = RoundPlan.private(
        config,
        data.rows.size,
        context.round_number,
        seed=(study.digest, PHASE, context.site),
        min_cell=context.min_cell,
    )
    model = _model(context)
    trainer = RoundTrainer(model, config, lambda _: 1.0, mechanism=Mechanism.of(study, PHASE))
    context, fit = fit_private_round(context, PHASE, model)
    randomness = context.randomness or PrivateRandomness()
    batches = PrivatePretrainingBatches(study, data, randomness, fit.most_rows)
    return trainer.run(context, batches, model.losses, plan=plan, budget=fit.budget)


def _model(context: RoundContext) -> PretrainingModel:
    return context.models.take(
        PretrainingModel,
        lambda: PretrainingModel.of(context.study, context.num_tokens),
        study=context.study,
        num_tokens=context.num_tokens,
        weights=context.weights,
        device=context.device,
    )
