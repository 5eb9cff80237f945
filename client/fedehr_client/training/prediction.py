"""Probabilities from a fine-tuned model."""

from contextlib import closing

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_client.compute.compute import Compute
from fedehr_client.training.examples import Examples
from fedehr_client.training.prefetch import prefetch
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import TrainingError
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.weights import build_model
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.collate import collate
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.wire.payload import Arrays

_EXAMPLES_A_BATCH = 64


def predict(
    study: StudyConfig,
    store: TokenStore,
    examples: Examples,
    *,
    num_tokens: int,
    weights: Arrays,
    compute: Compute,
) -> NDArray[np.float64]:
    """Probabilities of each task for each example.

    Shape: `[examples, tasks]`.

    Raises:
        TrainingError: a score is NaN or infinite.
        WireError: the weights do not fit the model.
    """
    model = build_model(
        lambda: FinetuningModel(study.model, study.finetuning, num_tokens), weights
    ).to(compute.device)
    model.eval()

    def make_batch(begin: int) -> EventBatch:
        return collate(store, examples.windows[begin : begin + _EXAMPLES_A_BATCH])

    begins = range(0, len(examples), _EXAMPLES_A_BATCH)
    parts = [np.empty((0, len(study.finetuning.tasks)))]
    with torch.inference_mode(), closing(prefetch(make_batch, begins)) as batches:
        for batch in batches:
            logits = model(batch.to(compute.device))
            parts.append(torch.sigmoid(logits.double()).cpu().numpy())
    scores = np.concatenate(parts)
    if not np.isfinite(scores).all():
        raise TrainingError(
            "the model's scores are NaN or infinite. Lower [pretraining] or [finetuning] "
            "learning_rate."
        )
    return scores
