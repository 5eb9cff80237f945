"""A round of masked-event pre-training on the site's training subjects."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_client.training.loop import RoundContext, RoundResult, RoundTrainer
from fedehr_client.training.schedule import batch_rows
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import build_model
from fedehr_shared.seeds import derive_generator
from fedehr_shared.tokens.collate import collate, random_window
from fedehr_shared.tokens.masking import EventMasker, MaskedBatch
from fedehr_shared.tokens.store import TokenStore


@dataclass(frozen=True)
class PretrainingData:
    """Rows of the token store that may be learnt from: `[subjects]`."""

    store: TokenStore
    rows: NDArray[np.int64]


def pretrain_round(context: RoundContext, data: PretrainingData) -> RoundResult:
    """Train one round; what is drawn depends on (study, phase, round, site) alone.

    Raises:
        TrainingError: a loss is NaN or infinite.
        WireError: the weights do not fit the model.
    """
    study, site = context.study, context.site
    model = build_model(
        lambda: PretrainingModel(study.model, context.num_tokens), context.weights
    ).to(context.device)
    masker = EventMasker(study.masking, context.num_tokens)
    generator = derive_generator(study.digest, "pretraining", context.round_number, site)
    order_seed = (study.digest, "pretraining", site)

    def step_loss(step: int) -> torch.Tensor:
        places = batch_rows(data.rows.size, step, study.pretraining.steps_per_epoch, *order_seed)
        windows = [
            random_window(data.store, int(row), study.sequence.context, generator)
            for row in data.rows[places]
        ]
        masked = masker.mask(collate(data.store, windows), generator)
        return _loss(model, masked, context.device)

    return RoundTrainer(model, study.pretraining, {"": 1.0}).run(context, step_loss)


def _loss(model: PretrainingModel, masked: MaskedBatch, device: torch.device) -> torch.Tensor:
    on_device = MaskedBatch(
        masked.batch.to(device), masked.positions.to(device), masked.targets.to(device)
    )
    loss: torch.Tensor = model(on_device)
    return loss
