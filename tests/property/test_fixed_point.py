"""Sums of updates: exact, whatever order the sites answer in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedehr_shared.errors import WireError
from fedehr_shared.wire.fixed_point import LARGEST, FixedPointSum

Tensors = dict[str, NDArray[np.float32]]


@st.composite
def updates(draw: st.DrawFn) -> list[tuple[Tensors, int]]:
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    scale = 10.0 ** draw(st.integers(-9, 4))
    num = draw(st.integers(1, 12))
    return [
        (
            {
                "w": (generator.standard_normal((3, 4)) * scale).astype(np.float32),
                "b": (generator.standard_normal(5) * scale).astype(np.float32),
            },
            int(generator.integers(1, 10_000)),
        )
        for _ in range(num)
    ]


def _mean(parts: list[tuple[Tensors, int]], total: int) -> Tensors:
    added = FixedPointSum(total)
    for tensors, weight in parts:
        added.add(tensors, weight)
    return added.mean()


@settings(deadline=None)
@given(large=updates(), small=updates(), spare=st.integers(0, 1_000), data=st.data())
def test_no_order_changes_a_bit(
    large: list[tuple[Tensors, int]],
    small: list[tuple[Tensors, int]],
    spare: int,
    data: st.DataObject,
) -> None:
    # What is large cancels out: in floats the remainder would depend on the order.
    cancelling = [({name: -a for name, a in part.items()}, weight) for part, weight in large]
    parts = [*large, *small, *cancelling]
    total = sum(weight for _, weight in parts) + spare
    mean, other = _mean(parts, total), _mean(data.draw(st.permutations(parts)), total)
    assert {n: a.tobytes() for n, a in mean.items()} == {n: a.tobytes() for n, a in other.items()}


@settings(deadline=None)
@given(parts=updates(), spare=st.integers(0, 1_000))
def test_the_mean_is_that_of_float64(parts: list[tuple[Tensors, int]], spare: int) -> None:
    weights = np.asarray([weight for _, weight in parts], dtype=np.float64)
    mean = _mean(parts, int(weights.sum()) + spare)
    for name in ("w", "b"):
        stacked = np.stack([tensors[name].astype(np.float64) for tensors, _ in parts])
        exact = np.tensordot(weights / weights.sum(), stacked, axes=1)
        assert mean[name].dtype == np.float32
        np.testing.assert_allclose(mean[name], exact, rtol=1.3e-7, atol=1e-9)


BAD: list[tuple[Tensors, int]] = [
    ({"w": np.asarray([1.0, np.nan], np.float32)}, 1),
    ({"w": np.asarray([1.0, np.inf], np.float32)}, 1),
    ({"w": np.asarray([1.0, -np.inf], np.float32)}, 1),
    ({"w": np.asarray([1.0, LARGEST * 1.01], np.float32)}, 1),
    ({"w": np.asarray([1.0, -3e38], np.float32)}, 1),
    ({"w": np.zeros(3, np.float32)}, 1),
    ({"w": np.zeros((2, 1), np.float32)}, 1),
    ({"v": np.zeros(2, np.float32)}, 1),
    ({"w": np.zeros(2, np.float32), "v": np.zeros(2, np.float32)}, 1),
    ({}, 1),
    ({"w": np.zeros(2, np.float32)}, 0),
    ({"w": np.zeros(2, np.float32)}, -5),
    ({"w": np.zeros(2, np.float32)}, 91),
]


@pytest.mark.parametrize("place", range(len(BAD)))
def test_a_refusal_leaves_the_sum_as_it_was(place: int) -> None:
    tensors, weight = BAD[place]
    good: Tensors = {"w": np.asarray([0.5, -2.0], np.float32)}
    added = FixedPointSum(100)
    added.add(good, 10)
    with pytest.raises(WireError):
        added.add(tensors, weight)
    assert added.weight == 10
    assert added.mean()["w"].tolist() == [0.5, -2.0]


@settings(deadline=None)
@given(num=st.integers(1, 200))
def test_many_sites_at_the_largest_value_do_not_overflow(num: int) -> None:
    tensors: Tensors = {"w": np.asarray([LARGEST, -LARGEST], np.float32)}
    mean = _mean([(tensors, 1)] * num, num)
    assert mean["w"].tolist() == pytest.approx([LARGEST, -LARGEST], rel=1e-6)
