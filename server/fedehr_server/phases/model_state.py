"""`ModelState`: the federation's weights and moments between rounds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from fedehr_server.model_shelf import PretrainedModel
from fedehr_server.phases.base_weights import Base
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError, WireError
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.tuning.plan import TuningPlan
from fedehr_shared.model.weights import check_tensors, draw_first_weights
from fedehr_shared.wire.payload import Arrays


@dataclass(frozen=True)
class ModelState:
    """What a round starts from.

    Attributes:
        weights: by name, those that every round carries.
        moments: AdamW's averaged moments; None before the first round.
        base: the other weights.
    """

    weights: Arrays
    moments: Arrays | None = None
    base: Base = field(default_factory=Base)

    @property
    def all_weights(self) -> Arrays:
        """Of the whole model."""
        return self.base.tensors | self.weights

    def moved(self, update: Arrays, moments: Arrays | None) -> "ModelState":
        """The state after a round's mean update; what it does not name stays as it was."""
        moved = {name: np.add(self.weights[name], change) for name, change in update.items()}
        kept = None if moments is None else (self.moments or {}) | moments
        return ModelState(self.weights | moved, kept, self.base.folded(None))

    def rounded(self, rounded: Callable[[Arrays], Arrays]) -> "ModelState":
        """The state as the sites receive it.

        Args:
            rounded: tensors as the wire rounds them.
        """
        return replace(self, weights=rounded(self.weights))

    def with_adapters(self, adapters: Arrays, fold: Arrays | None) -> "ModelState":
        """The state with other adapters over a changed base.

        Args:
            adapters: of all matrices; those that do not travel are as they were.
            fold: as the wire rounds it; None: the base stays.
        """
        travelling = {name: new for name, new in adapters.items() if name in self.weights}
        return replace(self, weights=self.weights | travelling, base=self.base.folded(fold))


def first_pretraining_state(study: StudyConfig, num_tokens: int) -> ModelState:
    """Drawn by the coordinator from the study's seed."""
    model = PretrainingModel.of(study, num_tokens)
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
    study: StudyConfig,
    num_tokens: int,
    pretrained: ModelState,
    biases: Sequence[float | Sequence[float]],
    rounded: Callable[[Arrays], Arrays],
) -> ModelState:
    """The pre-trained encoder under heads drawn from the study's seed; moments begin anew.

    What no round carries becomes the base, in the bits that sites will have of it.

    Each head's bias starts at what the label counts alone say. From zero, AdamW would spend its
    first steps lowering every weight that most subjects share, and a long record would look
    healthy.

    Args:
        study: the study.
        num_tokens: the vocabulary's size.
        pretrained: the state after pre-training.
        biases: by task, of its head's outputs; see `first_bias`.
        rounded: tensors as the wire rounds them.
    """
    model = FinetuningModel(study, num_tokens)
    drawn = draw_first_weights(model, study.seed, "finetuning")
    taken = {name: pretrained.weights.get(name, value) for name, value in drawn.items()}
    for number, bias in enumerate(biases):
        taken[f"heads.{number}.bias"] = np.atleast_1d(np.asarray(bias, dtype=np.float32))
    plan = TuningPlan.of(study)
    travelling = {name: value for name, value in taken.items() if plan.travels(name)}
    base = {name: value for name, value in taken.items() if name not in travelling}
    return ModelState(travelling, base=Base.of(rounded(base)))
