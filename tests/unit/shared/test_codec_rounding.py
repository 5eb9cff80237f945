"""What rounding does to updates: int8 is right on average, and fp16 loses no small tensor."""

import numpy as np
import pytest

from fedehr_shared.wire.codec.byte import GROUP
from fedehr_shared.wire.codec.record import decode, encode

NUM_DRAWS = 400


def _draws(array: np.ndarray) -> np.ndarray:
    """`[draws, *shape]`, one generator after the other."""
    records = (
        encode({"w": array}, "int8", generator=np.random.default_rng(seed))
        for seed in range(NUM_DRAWS)
    )
    return np.stack([decode(record)["w"] for record in records]).astype(np.float64)


def test_int8_is_right_on_average() -> None:
    """Each element's mean is within 5 standard errors, and the mean of all within 4."""
    array = np.random.default_rng(7).standard_normal(3 * GROUP + 17).astype(np.float32)
    array[GROUP : 2 * GROUP] *= np.float32(1e-6)
    drawn = _draws(array)
    errors = (drawn - array).mean(axis=0)
    groups = np.arange(array.size) // GROUP
    steps = np.array([np.abs(array[groups == g]).max() / 127 for g in groups])
    # A step is rounded with a deviation of half of itself at most.
    standard = 0.5 * steps / np.sqrt(NUM_DRAWS)
    assert (np.abs(errors) <= 5 * standard).all()
    assert abs((errors / steps).mean()) <= 4 * 0.5 / np.sqrt(NUM_DRAWS * array.size)
    # It is drawn, not rounded to the nearest: most elements came out two ways.
    assert (drawn.std(axis=0) > 0).mean() > 0.9


def test_int8_next_to_a_multiple_is_right_on_average_too() -> None:
    """An element of a hundredth of a step is one step in a hundred draws."""
    array = np.zeros(GROUP, np.float32)
    array[0], array[1:] = 127.0, 0.01
    drawn = _draws(array)[:, 1:]
    assert set(np.unique(drawn)) == {0.0, 1.0}
    deviation = np.sqrt(0.01 * 0.99 / drawn.size)
    assert abs(drawn.mean() - 0.01) < 4 * deviation


def test_one_large_element_does_not_drown_the_other_groups() -> None:
    array = np.full(4 * GROUP, 1e-3, np.float32)
    array[5] = 100.0
    again = decode(encode({"w": array}, "int8", generator=np.random.default_rng(0)))["w"]
    assert np.abs(again[GROUP:] - 1e-3).max() < 1e-8


@pytest.mark.parametrize("scale", [1e-12, 1e-7, 1e-4, 1.0, 1e4, 1e12])
def test_fp16_keeps_its_precision_at_any_scale(scale: float) -> None:
    """A plain half loses an update of 1e-7, and overflows at 1e12."""
    array = (np.random.default_rng(1).standard_normal(4000) * scale).astype(np.float32)
    again = decode(encode({"w": array}, "fp16"))["w"]
    error = np.linalg.norm(again.astype(np.float64) - array) / np.linalg.norm(array)
    assert error < 2.5e-4
    with np.errstate(over="ignore"):
        plain = array.astype(np.float16).astype(np.float64)
    lost = np.linalg.norm(plain - array) / np.linalg.norm(array)
    assert lost > 0.01 if scale in {1e-12, 1e-7, 1e12} else lost < 2.5e-4


def test_zstd_makes_weights_smaller_and_noise_no_larger() -> None:
    weights = {"w": np.random.default_rng(2).standard_normal((500, 800)).astype(np.float32)}
    plain, packed = (encode(weights, "fp16", compress=compress) for compress in (False, True))
    assert len(packed) < 0.9 * len(plain)
    noise = np.random.default_rng(3).integers(0, 2**31, 100_000, dtype=np.int32)
    bits = {"w": (noise & ~np.int32(1 << 30)).view(np.float32)}
    sizes = [len(encode(bits, "fp32", compress=compress)) for compress in (False, True)]
    assert sizes[1] <= sizes[0]
    few = [len(encode({"w": np.ones(1, np.float32)}, "fp16", compress=c)) for c in (False, True)]
    assert few[0] == few[1]
