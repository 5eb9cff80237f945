"""A fold at a site: hostile ones are refused, honest ones are added to the base."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedehr_shared.config.lora import LoraConfig
from fedehr_shared.errors import WireError
from fedehr_shared.model.lora.fold import apply_fold, check_fold

MATRIX = "encoder.blocks.0.q"
SHAPES = {
    f"{MATRIX}.weight": (6, 5),
    "encoder.blocks.0.k.weight": (6, 5),
    "encoder.blocks.1.q.weight": (6, 5),
    "encoder.norm.weight": (5,),
}
LORA = LoraConfig(rank=2, target_modules=("q", "v"), layer_ranks=(2, 0))


def _fold(rank: int = 3, matrix: str = MATRIX) -> dict[str, Any]:
    generator = np.random.default_rng(rank)
    return {
        f"{matrix}.fold_B": generator.standard_normal((6, rank)).astype(np.float32),
        f"{matrix}.fold_A": generator.standard_normal((rank, 5)).astype(np.float32),
    }


def _with(name: str, value: Any) -> dict[str, Any]:
    return _fold() | {f"{MATRIX}.{name}": value}


def _holding(value: float) -> NDArray[np.float32]:
    factor: NDArray[np.float32] = _fold()[f"{MATRIX}.fold_B"]
    factor[2, 1] = value
    return factor


def test_a_fold_of_any_rank_up_to_the_bound_is_taken() -> None:
    for rank in range(1, 6):
        check_fold(_fold(rank), SHAPES, LORA)
    check_fold(_fold(4), SHAPES, LORA, num_sites=2)
    check_fold({}, SHAPES, LORA, num_sites=2)
    with pytest.raises(WireError, match="rank 6, and not 1 to 5"):
        check_fold(_fold(6), SHAPES, LORA)


@pytest.mark.parametrize(
    ("fold", "reason"),
    [
        (_fold(6), "rank 6, and not 1 to 4"),
        (_fold(0), "rank 0"),
        (_fold(5), "rank 5, and not 1 to 4"),
        (_fold(matrix="encoder.blocks.0.k"), r"fold_B is no fold|fold_A is no fold"),
        (_fold(matrix="encoder.blocks.1.q"), "no fold of an adapted matrix"),
        (_fold(matrix="encoder.blocks.2.q"), "no fold of an adapted matrix"),
        (_fold(matrix="encoder.blocks.99999.q"), "no fold of an adapted matrix"),
        (_fold(matrix="encoder.blocks.-1.q"), "no fold of an adapted matrix"),
        (_fold(matrix="encoder.norm"), "no fold of an adapted matrix"),
        (_fold(matrix="encoder.blocks.0.v"), "lacks"),
        ({f"{MATRIX}.weight": np.zeros((6, 5), np.float32)}, "no fold of an adapted matrix"),
        (dict([next(iter(_fold().items()))]), "lacks a factor"),
        (_with("fold_B", np.zeros((5, 3), np.float32)), "does not fit"),
        (_with("fold_A", np.zeros((2, 5), np.float32)), "does not fit"),
        (_with("fold_A", np.zeros((3, 6), np.float32)), "does not fit"),
        (_with("fold_B", np.zeros(6, np.float32)), "does not fit"),
        (_with("fold_B", np.zeros((6, 3, 1), np.float32)), "does not fit"),
        (_with("fold_B", np.zeros((), np.float32)), "does not fit"),
        (_with("fold_B", np.zeros((6, 3))), "not float32"),
        (_with("fold_B", _holding(np.nan)), "NaN"),
        (_with("fold_B", _holding(-np.inf)), "infinity"),
    ],
)
def test_a_fold_that_the_adapters_cannot_have_made_is_refused(
    fold: dict[str, Any], reason: str
) -> None:
    with pytest.raises(WireError, match=reason):
        check_fold(fold, SHAPES, LORA, num_sites=2)


def test_a_fold_is_added_in_64_bits_and_rounded_once() -> None:
    generator = np.random.default_rng(1)
    base = {n: generator.standard_normal(s).astype(np.float32) for n, s in SHAPES.items()}
    before = {name: value.copy() for name, value in base.items()}
    fold = _fold()
    folded = apply_fold(base, fold)
    exact = before[f"{MATRIX}.weight"].astype(np.longdouble)
    for column, row in zip(fold[f"{MATRIX}.fold_B"].T, fold[f"{MATRIX}.fold_A"], strict=True):
        exact = exact + np.multiply.outer(column.astype(np.longdouble), row.astype(np.longdouble))
    assert np.array_equal(folded[f"{MATRIX}.weight"], exact.astype(np.float32))
    assert folded[f"{MATRIX}.weight"].dtype == np.float32
    assert all(np.array_equal(base[n], before[n]) for n in base)
    assert all(folded[n] is base[n] for n in base if n != f"{MATRIX}.weight")


def test_a_sum_beyond_32_bits_is_refused_by_name() -> None:
    base = {f"{MATRIX}.weight": np.full((6, 5), 3e38, np.float32)}
    fold = {name: np.full_like(value, 1e19) for name, value in _fold().items()}
    with pytest.raises(WireError, match=r"encoder\.blocks\.0\.q is beyond 32 bits"):
        apply_fold(base, fold)
