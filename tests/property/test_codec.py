"""The codec gives back what went in: bit for bit, or within each dtype's own error."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from fedehr_shared.errors import WireError
from fedehr_shared.wire.codec.conversion import BLOCK_ELEMENTS
from fedehr_shared.wire.codec.record import decode, encode
from fedehr_shared.wire.codec.rounding import rounded

DTYPES: Any = ["fp32", "bf16", "fp16", "int8"]
LARGE = float(np.float32(1e38))

names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12)
shapes = numpy_strategies.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)
scales = st.sampled_from([2.0**-140, 2.0**-126, 1e-30, 1e-8, 1.0, 3e4, 1e30])


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Of any shape, with elements that may lie far apart."""
    elements = st.floats(-LARGE, LARGE, width=32)
    if draw(st.booleans()):
        scale = draw(scales)
        elements = st.floats(-1, 1, width=32).map(lambda value: float(np.float32(value * scale)))
    return draw(numpy_strategies.arrays(np.float32, shapes, elements=elements))


records = st.dictionaries(names, arrays(), max_size=4)


def _sent(tensors: Any, dtype: Any, *, compress: bool = True, seed: int = 0) -> Any:
    data = encode(tensors, dtype, compress=compress, generator=np.random.default_rng(seed))
    return decode(data, shapes={name: a.shape for name, a in tensors.items()}, dtype=dtype)


def _largest(array: Any) -> float:
    return float(np.abs(array).max(initial=0))


def _bound(array: Any, dtype: str) -> Any:
    """The largest error that rounding once may make, element by element."""
    exact = np.abs(array.astype(np.float64))
    if dtype == "bf16":
        return np.maximum(exact * 2.0**-8, 2.0**-134)
    if dtype == "fp16":
        least = _largest(array) * 2.0**-39 * (1 + 2.0**-11)
        return np.maximum(exact * 2.0**-11, max(least, 2.0**-149))
    return np.full(array.shape, max(_largest(array) / 127, 2.0**-126) * (1 + 1e-5))


@settings(deadline=None, max_examples=40)
@given(tensors=records, compress=st.booleans())
def test_fp32_is_bit_for_bit(tensors: Any, compress: bool) -> None:
    again = _sent(tensors, "fp32", compress=compress)
    assert list(again) == list(tensors)
    for name, array in tensors.items():
        assert (again[name].shape, again[name].dtype) == (array.shape, np.float32)
        assert again[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "int8"])
@settings(deadline=None, max_examples=40)
@given(tensors=records, compress=st.booleans())
def test_other_dtypes_round_once(dtype: Any, tensors: Any, compress: bool) -> None:
    again = _sent(tensors, dtype, compress=compress)
    assert list(again) == list(tensors)
    for name, array in tensors.items():
        assert (again[name].shape, again[name].dtype) == (array.shape, np.float32)
        error = np.abs(again[name].astype(np.float64) - array)
        assert (error <= _bound(array, dtype)).all()
        # Nothing that is zero becomes something.
        assert not again[name][array == 0].any()


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
@settings(deadline=None, max_examples=40)
@given(tensors=records)
@example(tensors={"w": np.array([4095.9, 2.0**-28, 2.0**-27 * 1.1, 0], np.float32)})
def test_what_was_rounded_is_rounded_no_further(dtype: Any, tensors: Any) -> None:
    once = rounded(tensors, dtype)
    twice = rounded(once, dtype)
    assert {n: a.tobytes() for n, a in twice.items()} == {n: a.tobytes() for n, a in once.items()}


def _of_eleven_bits(number: float) -> float:
    unit = 2.0 ** (int(np.frexp(number)[1]) - 11)
    return round(number / unit) * unit


@settings(deadline=None, max_examples=40)
@given(array=arrays())
def test_halves_are_the_nearest_ones(array: Any) -> None:
    """Against NumPy's own rounding of the scaled elements."""
    if (largest := _largest(array)) < 2.0**-100:
        return
    scale = 2.0 ** (14 - int(np.floor(np.log2(_of_eleven_bits(largest)))))
    halves = (array.astype(np.float64) * scale).astype(np.float32).astype(np.float16)
    expected = (halves.astype(np.float64) / scale).astype(np.float32)
    assert _sent({"w": array}, "fp16")["w"].tobytes() == expected.tobytes()


@settings(deadline=None, max_examples=40)
@given(
    size=st.integers(0, 600) | st.integers(BLOCK_ELEMENTS - 300, BLOCK_ELEMENTS + 300),
    seed=st.integers(0, 9),
    dtype=st.sampled_from(DTYPES),
    compress=st.booleans(),
)
@example(size=2 * BLOCK_ELEMENTS, seed=1, dtype="int8", compress=True)
def test_sizes_around_blocks_and_groups(size: int, seed: int, dtype: Any, compress: bool) -> None:
    array = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    array *= np.float32(1e-3) ** np.arange(size).clip(max=9)
    again = _sent({"w": array}, dtype, compress=compress)["w"]
    bound = 0 if dtype == "fp32" else _bound(array, dtype)
    assert (np.abs(again.astype(np.float64) - array) <= bound).all()


@settings(deadline=None, max_examples=40)
@given(tensors=records, seed=st.integers(0, 99), dtype=st.sampled_from(DTYPES))
def test_the_same_generator_gives_the_same_bytes(tensors: Any, seed: int, dtype: Any) -> None:
    data = [encode(tensors, dtype, generator=np.random.default_rng(seed)) for _ in range(2)]
    assert data[0] == data[1]


@settings(deadline=None, max_examples=40)
@given(array=arrays(), dtype=st.sampled_from(DTYPES))
def test_arrays_in_any_order_of_memory_are_the_same(array: Any, dtype: Any) -> None:
    straight = array.T.copy(order="C")
    assert encode({"w": array.T}, dtype, generator=np.random.default_rng(0)) == encode(
        {"w": straight}, dtype, generator=np.random.default_rng(0)
    )


@settings(deadline=None, max_examples=40)
@given(
    array=arrays().filter(lambda a: a.size > 0),
    wrong=st.sampled_from([np.nan, np.inf, -np.inf]),
    dtype=st.sampled_from(DTYPES),
    data=st.data(),
)
def test_nan_and_infinity_are_not_encoded(
    array: Any, wrong: float, dtype: Any, data: st.DataObject
) -> None:
    array = array.copy()
    array.flat[data.draw(st.integers(0, array.size - 1))] = wrong
    with pytest.raises(WireError, match=r"tensor w holds NaN or infinity"):
        encode({"w": array}, dtype, generator=np.random.default_rng(0))


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_what_would_round_to_infinity_is_not_encoded(dtype: Any) -> None:
    largest = np.float32(np.finfo(np.float32).max)
    with pytest.raises(WireError, match="too large"):
        encode({"w": np.full(3, -largest)}, dtype)
    below = np.full(3, -largest * np.float32(0.99))
    assert np.isfinite(_sent({"w": below}, dtype)["w"]).all()
