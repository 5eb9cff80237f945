"""A round of fine-tuning: one head a task on the pooled encoding."""

import torch

from fedehr_client.training.batches import LabelledBatch, LabelledBatches
from fedehr_client.training.examples import Examples
from fedehr_client.training.loop import RoundContext, RoundResult, RoundTrainer
from fedehr_shared.model.finetuning_model import FinetuningModel, multitask_loss
from fedehr_shared.model.weights import build_model
from fedehr_shared.seeds import derive_seed
from fedehr_shared.tokens.store import TokenStore


def finetune_round(context: RoundContext, store: TokenStore, examples: Examples) -> RoundResult:
    """Train one round; what is drawn depends on (study, phase, round, site) alone.

    Raises:
        TrainingError: a loss is NaN or infinite.
        WireError: the weights do not fit the model.
    """
    study, site, tuning = context.study, context.site, context.study.finetuning
    model = build_model(
        lambda: FinetuningModel(study.model, tuning, context.num_tokens), context.weights
    ).to(context.device)
    torch.manual_seed(derive_seed(study.digest, "finetuning", context.round_number, site))

    def loss_of(labelled: LabelledBatch) -> torch.Tensor:
        return multitask_loss(
            model(labelled.batch),
            labelled.labels,
            labelled.num_step_labels,
            tuning.label_smoothing,
        )

    factors = {"encoder.": tuning.encoder_rate_factor, "heads.": 1.0, "wide.": 1.0}
    batches = LabelledBatches(study, site, store, examples)
    return RoundTrainer(model, tuning, factors).run(context, batches, loss_of)
