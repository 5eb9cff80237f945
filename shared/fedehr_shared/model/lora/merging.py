"""`merged`: adapters folded into the matrices beside them, so that they cost nothing in use."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.lora import LoraConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import WireError
from fedehr_shared.model.lora.adapted_matrices import AdaptedMatrix, adapted_matrices
from fedehr_shared.model.lora.vera_projections import draw_projections
from fedehr_shared.model.tuning.plan import is_adapter

Arrays = dict[str, NDArray[np.float32]]
Matrix = NDArray[np.float64]


def merged(weights: Mapping[str, NDArray[np.float32]], study: StudyConfig) -> Arrays:
    """Weights of the same model without adapters; outputs differ by rounding alone.

    Products and sums are in float64 and rounded once.

    Args:
        weights: all of a fine-tuned model's, by name; they stay as they are.
        study: whose adapters they are.

    Raises:
        WireError: an adapter or the matrix below it is missing.
    """
    plain = {name: value for name, value in weights.items() if not is_adapter(name)}
    matrices = adapted_matrices(study)
    for matrix in matrices:
        if matrix.weight not in weights:
            raise WireError(f"tensor {matrix.weight} is missing. Use the same fedehr version.")
    for matrix, (first, second) in zip(matrices, _factors(matrices, weights, study), strict=True):
        whole = weights[matrix.weight].astype(np.float64) + matrix.scale * (second @ first)
        plain[matrix.weight] = whole.astype(np.float32)
    return plain


def without_adapters(study: StudyConfig) -> StudyConfig:
    """The study whose model takes `merged` weights: as if the whole of it had been tuned."""
    if study.finetuning.tuning != "lora":
        return study
    tuned = study.finetuning.model_copy(update={"tuning": "full", "local_parts": ()})
    return study.model_copy(update={"finetuning": tuned, "lora": LoraConfig()})


def _factors(
    matrices: list[AdaptedMatrix], weights: Mapping[str, NDArray[np.float32]], study: StudyConfig
) -> list[tuple[Matrix, Matrix]]:
    """By matrix, what its change is the product of: `[rank, in]` and `[out, rank]`."""
    try:
        if study.lora.variant == "lora":
            return [
                (weights[m.lora_A].astype(np.float64), weights[m.lora_B].astype(np.float64))
                for m in matrices
            ]
        return _vera_factors(matrices, weights, study.seed)
    except KeyError as missing:
        raise WireError(
            f"adapter {missing.args[0]} is missing. Were adapters kept at the sites?"
        ) from missing


def _vera_factors(
    matrices: list[AdaptedMatrix], weights: Mapping[str, NDArray[np.float32]], seed: int
) -> list[tuple[Matrix, Matrix]]:
    shapes = [weights[matrix.weight].shape for matrix in matrices]
    num_out, num_in = max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)
    shared_a, shared_b = draw_projections(num_in, num_out, max(m.rank for m in matrices), seed)
    found = []
    for matrix, (rows, columns) in zip(matrices, shapes, strict=True):
        inner, outer = weights[matrix.vera_d], weights[matrix.vera_b]
        first = inner.astype(np.float64)[:, None] * shared_a[: matrix.rank, :columns]
        found.append((first, outer.astype(np.float64)[:, None] * shared_b[:rows, : matrix.rank]))
    return found
