"""The coordinator's noisy mean: what one site can change, in any order, with anybody missing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedehr_server.privacy.central_mean import CentralMean, norm_of
from fedehr_shared.errors import ConfigError, WireError
from fedehr_shared.privacy.system_noise import SystemNoise
from fedehr_shared.wire.payload import Arrays


class _NoNoise:
    """Shows the sum itself."""

    def standard_normal(self, size: int) -> NDArray[np.float64]:
        return np.zeros(size)

    def random(self, size: int) -> NDArray[np.float64]:
        return np.zeros(size)


@st.composite
def updates(draw: st.DrawFn) -> list[Arrays]:
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    return [
        {
            "encoder.w": (generator.standard_normal((7, 3)) * scale).astype(np.float32),
            "heads.0.bias": (generator.standard_normal(2) * scale).astype(np.float32),
        }
        for scale in draw(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=6))
    ]


def _mean(sites: list[Arrays], max_norm: float, num_sites: int) -> Arrays:
    mean = CentralMean(max_norm, 1.0, num_sites, _NoNoise())
    for update in sites:
        mean.add(update)
    return mean.close()


def _bits(tensors: Arrays) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in tensors.items()}


@settings(deadline=None)
@given(
    sites=updates(),
    max_norm=st.sampled_from([1e-3, 0.5, 1.0, 30.0]),
    missing=st.integers(0, 4),
    data=st.data(),
)
def test_one_site_moves_the_mean_by_the_norm_over_the_public_number(
    sites: list[Arrays], max_norm: float, missing: int, data: st.DataObject
) -> None:
    num_sites = len(sites) + 1 + missing
    other = data.draw(updates())[0]
    before, after = _mean(sites, max_norm, num_sites), _mean([*sites, other], max_norm, num_sites)
    moved = {name: after[name].astype(np.float64) - before[name] for name in before}
    rounding = 1e-6 * max(norm_of(before), norm_of(after), 1e-9)
    distance = float(np.sqrt(sum(np.square(value).sum() for value in moved.values())))
    assert distance <= max_norm / num_sites + rounding


@settings(deadline=None)
@given(sites=updates(), data=st.data())
def test_the_order_of_arrival_changes_no_bit(sites: list[Arrays], data: st.DataObject) -> None:
    turned = data.draw(st.permutations(sites))
    assert _bits(_mean(turned, 1.0, 6)) == _bits(_mean(sites, 1.0, 6))


@settings(deadline=None)
@given(sites=updates())
def test_all_tensors_are_scaled_as_one_vector(sites: list[Arrays]) -> None:
    mean = _mean(sites, 1.0, len(sites))
    scales = [min(1.0, 1.0 / norm_of(update)) for update in sites]
    for name, value in mean.items():
        parts = [scale * u[name].astype(np.float64) for u, scale in zip(sites, scales, strict=True)]
        np.testing.assert_allclose(value, sum(parts) / len(sites), rtol=1e-4, atol=1e-6)


def test_a_missing_site_counts_in_the_divisor() -> None:
    update = {"w": np.asarray([0.5, 0.0], np.float32)}
    np.testing.assert_allclose(_mean([update] * 3, 1.0, 6)["w"], [0.25, 0.0], atol=1e-12)


def test_the_noise_is_of_the_stated_size_on_every_number() -> None:
    zero = {"w": np.zeros((300, 300), np.float32), "b": np.zeros(5_000, np.float32)}
    mean = CentralMean(2.0, 1.5, 10, SystemNoise())
    mean.add(zero)
    noisy = mean.close()
    for value in noisy.values():
        assert np.count_nonzero(value) == value.size
        deviation = 1.5 * 2.0 / 10
        assert float(value.std()) == pytest.approx(deviation, rel=0.05)
        assert abs(float(value.mean())) < 5 * deviation / np.sqrt(value.size)


def test_noise_is_never_the_same() -> None:
    def noisy() -> bytes:
        np.random.seed(0)
        mean = CentralMean(1.0, 1.0, 2, SystemNoise())
        mean.add({"w": np.zeros(64, np.float32)})
        return mean.close()["w"].tobytes()

    assert len({noisy() for _ in range(5)}) == 5


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_a_number_that_cannot_be_clipped_is_refused_and_nothing_added(value: float) -> None:
    mean = CentralMean(1.0, 1.0, 3, _NoNoise())
    mean.add({"w": np.asarray([0.5, 0.0], np.float32)})
    with pytest.raises(WireError, match="NaN, infinity or a value above"):
        mean.add({"w": np.asarray([value, 0.0], np.float32)})
    np.testing.assert_allclose(mean.close()["w"], [0.5 / 3, 0.0], atol=1e-9)


def test_more_answers_than_sites_are_refused() -> None:
    mean = CentralMean(1.0, 1.0, 1, _NoNoise())
    mean.add({"w": np.zeros(2, np.float32)})
    with pytest.raises(WireError, match="exceed"):
        mean.add({"w": np.zeros(2, np.float32)})


def test_a_round_of_nobody_is_no_mean() -> None:
    with pytest.raises(WireError, match="without an answer"):
        CentralMean(1.0, 1.0, 2, _NoNoise()).close()


def test_noise_beyond_the_sums_numbers_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_update_norm = 1e"):
        CentralMean(1e6, 100.0, 2, _NoNoise())
