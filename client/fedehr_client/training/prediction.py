"""Predictions of a fine-tuned model."""

from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.out_of_memory import is_out_of_memory, release_memory
from fedehr_client.compute.precision import autocast
from fedehr_client.compute.prepare import prepare_model
from fedehr_client.compute.token_budget import TokenBudget
from fedehr_client.training.examples import Examples
from fedehr_client.training.model_shelf import ModelShelf
from fedehr_client.training.prefetch import prefetch
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import TrainingError
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.heads.outputs import predictions_of
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.budget import ranges_within
from fedehr_shared.tokens.collate import collate
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.wire.payload import Arrays

_EXAMPLES_A_BATCH = 64
_MOST_TOKENS = 65_536
"""Without a budget of the site's, and without gradients to hold."""


def predict(
    study: StudyConfig,
    store: TokenStore,
    examples: Examples,
    *,
    num_tokens: int,
    weights: Arrays,
    compute: Compute,
    models: ModelShelf | None = None,
) -> NDArray[np.float64]:
    """What the model predicts of each example: see `predictions_of`.

    Shape: `[examples, outputs]`. `models`: what the process keeps of the model; None: nothing.

    Raises:
        TrainingError: a score is NaN or infinite, or not one sequence fits into memory.
        WireError: the weights do not fit the model.
    """
    model = (models or ModelShelf()).take(
        FinetuningModel,
        lambda: FinetuningModel(study, num_tokens),
        study=study,
        num_tokens=num_tokens,
        weights=weights,
        device=compute.device,
    )
    prepare_model(model, compute)
    model.eval()
    budget = TokenBudget(compute.token_budget or max(_MOST_TOKENS, study.sequence.context))

    def make_batch(begin: int) -> EventBatch:
        return collate(store, examples.windows[begin : begin + _EXAMPLES_A_BATCH])

    begins = range(0, len(examples), _EXAMPLES_A_BATCH)
    parts = [np.empty((0, sum(task.num_outputs for task in study.task_configs)))]
    with torch.inference_mode(), closing(prefetch(make_batch, begins)) as batches:
        parts += [_in_pieces(model, batch, compute, budget) for batch in batches]
    logits = torch.from_numpy(np.concatenate(parts))
    scores: NDArray[np.float64] = predictions_of(logits, study.task_configs).numpy()
    if not np.isfinite(scores).all():
        raise TrainingError(
            "the model's scores are NaN or infinite. Lower [pretraining] or [finetuning] "
            "learning_rate."
        )
    return scores


def _in_pieces(
    model: FinetuningModel, batch: EventBatch, compute: Compute, budget: TokenBudget
) -> NDArray[np.float64]:
    """Logits, in as many pieces as memory asks for. `[sequences, outputs]`."""
    whole = _Scored(batch)
    while True:
        try:
            return np.concatenate(
                [_logits(model, piece.batch, compute) for piece in whole.split(budget.num_tokens)]
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        release_memory(compute.device)
        budget.lower(whole)


def _logits(model: FinetuningModel, batch: EventBatch, compute: Compute) -> NDArray[np.float64]:
    with autocast(compute.device, compute.precision):
        found = model(batch.to(compute.device))
    logits: NDArray[np.float64] = found.double().cpu().numpy()
    return logits


@dataclass(frozen=True)
class _Scored:
    """A batch to be scored, which can be cut."""

    batch: EventBatch

    @property
    def num_tokens(self) -> int:
        return self.batch.boundaries[-1]

    def split(self, token_budget: int | None) -> list["_Scored"]:
        ranges = ranges_within(self.batch.boundaries, token_budget)
        return [_Scored(self.batch.cut(sequences)) for sequences in ranges]
