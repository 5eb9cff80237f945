"""`ModelState`: the federation's weights and moments between rounds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fedehr_server.model_shelf import PretrainedModel
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError, WireError
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import check_tensors, draw_first_weights
from fedehr_shared.wire.payload import Arrays


@dataclass(frozen=True)
class ModelState:
    """Weights by name, and AdamW's averaged moments (None before the first round)."""

    weights: Arrays
    moments: Arrays | None = None

    def moved(self, update: Arrays, moments: Arrays | None) -> "ModelState":
        """The state after a round's mean update."""
        moved = {name: np.add(self.weights[name], update[name]) for name in self.weights}
        return ModelState(moved, moments)


def first_pretraining_state(study: StudyConfig, num_tokens: int) -> ModelState:
    """Drawn by the coordinator from the study's seed."""
    model = PretrainingModel(study.model, study.objective, num_tokens)
    return ModelState(draw_first_weights(model, study.seed, "pretraining"))


def reused_state(study: StudyConfig, num_tokens: int, model: PretrainedModel) -> ModelState:
    """An encoder that an earlier study trained.

    Raises:
        DataError: it is of another size.
    """
    with torch.device("meta"):
        encoder = EventEncoder(study.model, num_tokens)
        shapes = {f"encoder.{name}": tuple(p.shape) for name, p in encoder.named_parameters()}
    try:
        check_tensors(model.weights, shapes)
    except WireError as error:
        raise DataError(
            f"the model that the study re-uses does not fit [model]: {error} Give the study the "
            "size that the model was trained with."
        ) from error
    return ModelState(model.weights)


def first_finetuning_state(
    study: StudyConfig, num_tokens: int, pretrained: ModelState, log_odds: Sequence[float]
) -> ModelState:
    """The pre-trained encoder under heads drawn from the study's seed; moments begin anew.

    Each head's bias starts at its task's log-odds. From zero, AdamW would spend its first
    steps lowering every weight that most subjects share, and a long record would look healthy.
    """
    model = FinetuningModel(study, num_tokens)
    drawn = draw_first_weights(model, study.seed, "finetuning")
    taken = {name: pretrained.weights.get(name, value) for name, value in drawn.items()}
    for number, bias in enumerate(log_odds):
        taken[f"heads.{number}.bias"] = np.asarray([bias], dtype=np.float32)
    return ModelState(taken)
