"""`make_aggregation`: the method that a study names."""

import numpy as np
from numpy.typing import NDArray

from fedehr_server.aggregation.adapted_matrix import adapted_matrices
from fedehr_server.aggregation.adapter_aggregation import AdapterAggregation
from fedehr_server.aggregation.alternating import Alternating
from fedehr_server.aggregation.average import Average
from fedehr_server.aggregation.frozen_a import FrozenA
from fedehr_server.aggregation.reprojection import Reprojection
from fedehr_server.aggregation.stacking import Stacking
from fedehr_server.aggregation.vera_average import VeraAverage
from fedehr_server.aggregation.vera_matrix import vera_matrices
from fedehr_shared.config.lora import LoraConfig
from fedehr_shared.model.lora.first_values import draw_adapter
from fedehr_shared.model.tuning.plan import is_adapter
from fedehr_shared.seeds import derive_generator
from fedehr_shared.wire.payload import Arrays


def make_aggregation(
    lora: LoraConfig, weights: Arrays, *, total_weight: int, seed: int, round_number: int
) -> AdapterAggregation:
    """The aggregation of one round's adapters.

    Args:
        lora: `[lora]`.
        weights: of the whole model before the round, base and travelling.
        total_weight: an upper bound of the sites' weights, the same for every order.
        seed: the study's, for adapters that start anew and for VeRA's projections.
        round_number: of fine-tuning, from 1.
    """
    before = {name: value for name, value in weights.items() if is_adapter(name)}
    if lora.variant == "vera":
        return VeraAverage(vera_matrices(weights, seed), before, total_weight)
    matrices = adapted_matrices(lora, weights)

    def draw_a(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        generator = derive_generator(seed, "finetuning", round_number, name)
        return draw_adapter(name, shape, generator)

    if lora.aggregation == "average":
        return Average(matrices, before, total_weight)
    if lora.aggregation == "frozen_a":
        return FrozenA(matrices, before, total_weight)
    if lora.aggregation == "alternating":
        return Alternating(matrices, before, total_weight, round_number)
    if lora.aggregation == "reprojection":
        return Reprojection(matrices, before, total_weight, draw_a)
    return Stacking(matrices, before, total_weight, draw_a)
