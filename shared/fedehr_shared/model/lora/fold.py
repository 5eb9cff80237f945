"""A fold: low-rank products that are added to the base, as `<matrix>.fold_B` and `.fold_A`."""

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.lora import LoraConfig
from fedehr_shared.errors import WireError

Tensors = dict[str, NDArray[np.float32]]
_FOLD_A, _FOLD_B, _WEIGHT = ".fold_A", ".fold_B", ".weight"
_BLOCKS = "encoder.blocks."
_FACTOR = re.compile(r"(?P<matrix>encoder\.blocks\.\d{1,4}\.(?P<module>[a-z]+))\.fold_[AB]")


def fold_a(matrix: str) -> str:
    """The name of a matrix' right factor, `[rank, in]`."""
    return matrix + _FOLD_A


def fold_b(matrix: str) -> str:
    """The name of a matrix' left factor, `[out, rank]`, already scaled."""
    return matrix + _FOLD_B


def apply_fold(
    base: Mapping[str, NDArray[np.float32]], fold: Mapping[str, NDArray[np.float32]]
) -> Tensors:
    """The base with each fold's product added to its matrix; `base` itself stays as it is.

    Computed with 64 bits and rounded once.

    Args:
        base: by name, `<matrix>.weight` among them.
        fold: both factors of each folded matrix; see `check_fold`.

    Raises:
        WireError: a matrix is beyond float32 then.
    """
    changed: Tensors = {}
    for name in sorted(fold):
        if not name.endswith(_FOLD_B):
            continue
        matrix = name.removesuffix(_FOLD_B)
        folded = _folded(base[matrix + _WEIGHT], fold[name], fold[fold_a(matrix)])
        if not np.isfinite(folded).all():
            raise WireError(f"{matrix} is beyond 32 bits with its fold. It was not used.")
        changed[matrix + _WEIGHT] = folded
    return {**base, **changed}


def check_fold(
    fold: Mapping[str, NDArray[np.float32]],
    base_shapes: Mapping[str, tuple[int, ...]],
    lora: LoraConfig,
    num_sites: int | None = None,
) -> None:
    """Refuse a fold that the study's adapters cannot have made.

    Args:
        fold: as it came.
        base_shapes: of the base, by name.
        lora: `[lora]`.
        num_sites: most sites that a round has; None: unknown here. A fold's rank is at most this
            times the adapters' rank, and never above the matrix' own.

    Raises:
        WireError: naming the tensor.
    """
    for matrix in sorted({_matrix_of(name, lora) for name in fold}):
        whole = base_shapes.get(matrix + _WEIGHT)
        left, right = fold.get(fold_b(matrix)), fold.get(fold_a(matrix))
        if whole is None or left is None or right is None:
            raise WireError(f"the fold of {matrix} lacks a factor, or the base that matrix.")
        _check_factors(matrix, whole, left, right)
        most = min(whole) if num_sites is None else min(*whole, num_sites * _rank_of(matrix, lora))
        if not 0 < left.shape[1] <= most:
            raise WireError(f"the fold of {matrix} has rank {left.shape[1]}, and not 1 to {most}.")


def _check_factors(
    matrix: str,
    whole: tuple[int, ...],
    left: NDArray[np.float32],
    right: NDArray[np.float32],
) -> None:
    fits = left.ndim == right.ndim == 2 and left.shape[1] == right.shape[0]
    if not fits or (left.shape[0], right.shape[1]) != whole:
        raise WireError(
            f"the fold of {matrix} is {left.shape} by {right.shape}, which does not fit {whole}."
        )
    for factor in (left, right):
        if factor.dtype != np.float32 or not np.isfinite(factor).all():
            raise WireError(f"the fold of {matrix} is not float32, or holds NaN or infinity.")


def _matrix_of(name: str, lora: LoraConfig) -> str:
    found = _FACTOR.fullmatch(name)
    if found is None or found["module"] not in lora.target_modules or not _rank_of(name, lora):
        raise WireError(f"tensor {name} is no fold of an adapted matrix. It was not used.")
    return found["matrix"]


def _rank_of(name: str, lora: LoraConfig) -> int:
    layer = int(name.removeprefix(_BLOCKS).partition(".")[0])
    known = not lora.layer_ranks or layer < len(lora.layer_ranks)
    return lora.rank_of(layer) if known else 0


def _folded(
    weight: NDArray[np.float32], left: NDArray[np.float32], right: NDArray[np.float32]
) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        total = weight + left.astype(np.float64) @ right.astype(np.float64)
        return total.astype(np.float32)
