"""A round of fine-tuning: one head a task on the pooled encoding."""

import torch

from fedehr_client.training.examples import Examples
from fedehr_client.training.loop import RoundContext, RoundResult, RoundTrainer
from fedehr_client.training.schedule import batch_rows
from fedehr_shared.model.finetuning_model import FinetuningModel, multitask_loss
from fedehr_shared.model.weights import build_model
from fedehr_shared.seeds import derive_seed
from fedehr_shared.tokens.collate import collate
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
    order_seed = (study.digest, "finetuning", site)

    def step_loss(step: int) -> torch.Tensor:
        rows = batch_rows(len(examples), step, tuning.steps_per_epoch, *order_seed)
        batch = collate(store, [examples.windows[row] for row in rows]).to(context.device)
        labels = torch.from_numpy(examples.labels[rows]).to(context.device)
        return multitask_loss(model(batch), labels, tuning.label_smoothing)

    factors = {"encoder.": tuning.encoder_rate_factor, "heads.": 1.0, "wide.": 1.0}
    return RoundTrainer(model, tuning, factors).run(context, step_loss)
