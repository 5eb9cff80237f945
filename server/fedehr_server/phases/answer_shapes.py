"""`answer_shapes`: the tensors that a study's answers may hold, before there is a vocabulary."""

from collections.abc import Callable

import torch
from torch import nn

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.answer_bytes import NUM_TOKENS
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.tuning.plan import TuningPlan
from fedehr_shared.wire.work import Phase

Shapes = dict[str, tuple[int, ...]]

_TWO_SIZES = 1_000_003, 1_000_033
"""Primes that no layer is as wide as: what differs between them is the number of tokens."""


def answer_shapes(study: StudyConfig) -> dict[Phase, Shapes]:
    """By phase that trains, the shapes of all that some round's update holds.

    Models are made on a device without memory: a size of the vocabulary is `NUM_TOKENS`.
    """
    found: dict[Phase, Shapes] = {}
    if study.pretraining.rounds:
        found["pretraining"] = _shapes(lambda size: PretrainingModel.of(study, size))
    if study.finetuning.rounds:
        plan, rounds = TuningPlan.of(study), range(1, study.finetuning.rounds + 1)
        found["finetuning"] = {
            name: shape
            for name, shape in _shapes(lambda size: FinetuningModel(study, size)).items()
            if any(plan.is_answered(name, number) for number in rounds)
        }
    return found


def _shapes(make: Callable[[int], nn.Module]) -> Shapes:
    one, other = (_parameters(make, size) for size in _TWO_SIZES)
    return {
        name: tuple(
            size if size == again else NUM_TOKENS
            for size, again in zip(shape, other[name], strict=True)
        )
        for name, shape in one.items()
    }


def _parameters(make: Callable[[int], nn.Module], num_tokens: int) -> Shapes:
    with torch.device("meta"):
        return {name: tuple(p.shape) for name, p in make(num_tokens).named_parameters()}
