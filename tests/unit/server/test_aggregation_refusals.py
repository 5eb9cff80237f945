"""What aggregation of adapters refuses, and that a refused answer leaves nothing behind."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedehr_server.aggregation.making import make_aggregation
from fedehr_shared.config.lora import LoraConfig
from fedehr_shared.errors import TrainingError, WireError
from fedehr_shared.wire.fixed_point import LARGEST
from fedehr_shared.wire.payload import Arrays

METHODS = ("average", "frozen_a", "alternating", "reprojection", "stacking", "vera")
MATRIX = "encoder.blocks.0.q"
A, B = f"{MATRIX}.lora_A.weight", f"{MATRIX}.lora_B.weight"


def _weights(method: str) -> Arrays:
    generator = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {A: (2, 6), B: (5, 2)}
    if method == "vera":
        shapes = {f"{MATRIX}.vera_b.weight": (5,), f"{MATRIX}.vera_d.weight": (2,)}
    shapes |= {f"{MATRIX}.weight": (5, 6), "heads.0.bias": (1,)}
    return {name: generator.standard_normal(s).astype(np.float32) for name, s in shapes.items()}


def _make(method: str, weights: Arrays | None = None) -> Any:
    kind = {"variant": "vera"} if method == "vera" else {"aggregation": method}
    lora = LoraConfig.model_validate({"rank": 2, "target_modules": ("q",), **kind})
    weights = weights or _weights(method)
    return make_aggregation(lora, weights, total_weight=100, seed=0, round_number=1)


def _update(method: str, size: float = 0.1) -> Arrays:
    """What a site changes in the first round."""
    names = [B] if method in {"frozen_a", "alternating"} else [A, B]
    names = [n for n in _weights(method) if ".vera_" in n] if method == "vera" else names
    return {name: np.full_like(_weights(method)[name], size) for name in names}


def _without_one(update: Arrays) -> Arrays:
    return dict(list(update.items())[1:])


def _with_head(update: Arrays) -> Arrays:
    return update | {"heads.0.bias": np.zeros(1, np.float32)}


def _of_other_shape(update: Arrays) -> Arrays:
    return update | {list(update)[-1]: np.zeros((7, 7), np.float32)}


def _doubled(update: Arrays) -> Arrays:
    return {name: value.astype(np.float64) for name, value in update.items()}


def _holding(value: float) -> Callable[[Arrays], Arrays]:
    def alter(update: Arrays) -> Arrays:
        altered = {name: tensor.copy() for name, tensor in update.items()}
        altered[list(update)[-1]].flat[0] = value
        return altered

    return alter


HOSTILE = [
    _without_one, _with_head, _of_other_shape, _doubled,
    _holding(np.nan), _holding(np.inf), _holding(-2 * LARGEST),
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("alter", HOSTILE)
def test_a_hostile_update_is_refused_and_nothing_of_it_counts(
    method: str, alter: Callable[[Arrays], Arrays]
) -> None:
    spared, attacked = _make(method), _make(method)
    for aggregation in (spared, attacked):
        aggregation.add("a", _update(method), 10)
    with pytest.raises(WireError):
        attacked.add("b", alter(_update(method)), 10)
    for aggregation in (spared, attacked):
        aggregation.add("c", _update(method, -0.3), 20)
    one, other = spared.close(), attacked.close()
    assert one.error == other.error
    assert all(np.array_equal(one.adapters[n], other.adapters[n]) for n in one.adapters)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weight", [0, -1, 91])
def test_a_weight_beyond_what_was_declared_is_refused(method: str, weight: int) -> None:
    aggregation = _make(method)
    aggregation.add("a", _update(method), 10)
    with pytest.raises(WireError, match="weights exceed"):
        aggregation.add("b", _update(method), weight)


@pytest.mark.parametrize("method", ["reprojection", "stacking"])
def test_a_second_answer_of_a_site_is_refused(method: str) -> None:
    aggregation = _make(method)
    aggregation.add("a", _update(method), 10)
    with pytest.raises(WireError, match="'a' answered twice"):
        aggregation.add("a", _update(method), 10)


@pytest.mark.parametrize("method", ["average", "vera"])
def test_changes_whose_product_is_beyond_all_bounds_are_refused_by_name(method: str) -> None:
    with pytest.raises(WireError, match=r"encoder\.blocks\.0\.q \(the product"):
        _make(method).add("a", _update(method, LARGEST / 2), 10)


def test_a_frozen_factor_that_moves_is_refused() -> None:
    both = {name: np.zeros_like(_weights("average")[name]) for name in (A, B)}
    for method in ("frozen_a", "alternating"):
        with pytest.raises(WireError, match="lora_A"):
            _make(method).add("a", both, 10)


@pytest.mark.parametrize("method", ["reprojection", "stacking"])
def test_what_was_added_stays_though_the_caller_uses_its_arrays_again(method: str) -> None:
    update = _update(method)
    aggregation = _make(method)
    aggregation.add("a", update, 10)
    expected = _make(method)
    expected.add("a", _update(method), 10)
    for value in update.values():
        value[:] = 9
    one, other = aggregation.close(), expected.close()
    assert all(np.array_equal(one.adapters[n], other.adapters[n]) for n in one.adapters)


@pytest.mark.parametrize("method", ["reprojection", "stacking"])
@pytest.mark.parametrize(("value", "reason"), [(np.inf, "cannot decompose"), (3e38, "beyond 32")])
def test_weights_that_grew_beyond_all_bounds_end_the_run_with_the_methods_name(
    method: str, value: float, reason: str
) -> None:
    weights = _weights(method)
    for name in (A, B):
        weights[name] = np.full_like(weights[name], value)
    aggregation = _make(method, weights)
    aggregation.add("a", _update(method), 10)
    with pytest.raises(TrainingError, match=f"'{method}'.*{reason}"):
        aggregation.close()


@pytest.mark.parametrize("method", ["reprojection", "stacking"])
def test_the_largest_changes_that_are_let_in_are_added_up(method: str) -> None:
    aggregation = _make(method)
    aggregation.add("a", _update(method, LARGEST), 10)
    aggregation.add("b", _update(method, -LARGEST), 10)
    done = aggregation.close()
    assert done.error < 1e-5
    assert all(np.isfinite(value).all() for value in done.adapters.values())
