"""Noise on updates: the norm that it is cut to, its deviation, and that nobody can repeat it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedehr_shared.config.exchange import ExchangeConfig
from fedehr_shared.wire.codec.record import decode, encode
from fedehr_shared.wire.payload import Arrays, Payload
from fedehr_simulations.tuning_trials.noise import NoisyTransport, UpdateNoise


def _norm(update: Arrays) -> float:
    return float(np.sqrt(sum(np.square(v, dtype=np.float64).sum() for v in update.values())))


def _update(size: float = 1.0) -> Arrays:
    generator = np.random.default_rng(5)
    shapes = {"heads.0.weight": (1, 64), "encoder.blocks.0.q.lora_B.weight": (300, 40)}
    return {
        name: (size * generator.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


@given(
    size=st.floats(min_value=1e-6, max_value=1e3), bound=st.floats(min_value=1e-3, max_value=1e3)
)
def test_without_noise_an_update_is_cut_to_the_norm_over_all_its_tensors(
    size: float, bound: float
) -> None:
    update = _update(size)
    cut = UpdateNoise(0.0, bound).apply(update, np.random.default_rng())
    assert _norm(cut) == pytest.approx(min(bound, _norm(update)), rel=1e-5)
    share = _norm(cut) / _norm(update)
    for name, value in update.items():
        np.testing.assert_allclose(cut[name], share * value, rtol=1e-4, atol=1e-30)


@pytest.mark.parametrize(("multiplier", "bound"), [(0.01, 1.0), (2.0, 0.5)])
def test_the_deviation_is_the_multiplier_times_the_norm(multiplier: float, bound: float) -> None:
    update, noise = _update(), UpdateNoise(multiplier, bound)
    exact = UpdateNoise(0.0, bound).apply(update, np.random.default_rng())
    noised = noise.apply(update, np.random.default_rng())
    added = np.concatenate([(noised[name] - exact[name]).ravel() for name in update])
    # 12,064 draws: the deviation of their deviation is 0.65 % of it.
    assert added.std() == pytest.approx(multiplier * bound, rel=0.04)
    assert abs(added.mean()) < 5 * multiplier * bound / np.sqrt(added.size)


def test_an_update_of_zeros_gets_noise_and_nothing_else() -> None:
    zeros = {"a": np.zeros((100, 100), dtype=np.float32)}
    noised = UpdateNoise(0.1, 3.0).apply(zeros, np.random.default_rng())
    assert noised["a"].std() == pytest.approx(0.3, rel=0.05)


class _Answers:
    """A transport whose sites have answered."""

    def __init__(self, answers: list[tuple[int, Payload | None]]) -> None:
        self.answers = answers
        self.pushed: list[tuple[int, Payload]] = []

    def nodes(self) -> frozenset[int]:
        return frozenset({0, 1})

    def push(self, node: int, payload: Payload) -> None:
        self.pushed.append((node, payload))

    def pull(self) -> list[tuple[int, Payload | None]]:
        return self.answers

    def wait(self) -> None:
        return None


def _pulled(answer: Payload | None, noise: UpdateNoise, dtype: str = "fp16") -> Payload | None:
    exchange = ExchangeConfig.model_validate({"dtype": dtype})
    ((node, payload),) = NoisyTransport(_Answers([(3, answer)]), exchange, noise).pull()
    assert node == 3
    return payload


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16", "int8"])
def test_only_the_update_of_an_answer_is_changed(dtype: str) -> None:
    tensors = {"update": encode(_update(), "fp32"), "moments": b"as it was"}
    answer = Payload(tensors, {"report": {"site": "a", "loss": 0.5}})
    noised = _pulled(answer, UpdateNoise(0.01, 1e6), dtype)
    assert noised is not None
    assert noised.values == answer.values
    assert noised.tensors["moments"] == b"as it was"
    update = decode(noised.tensors["update"], dtype=dtype)  # type: ignore[arg-type]
    assert {name: value.shape for name, value in update.items()} == {
        name: value.shape for name, value in _update().items()
    }


def test_two_runs_of_one_study_have_other_noise() -> None:
    np.random.seed(0)
    answer = Payload({"update": encode(_update(), "fp32")}, {})
    first, second = (_pulled(answer, UpdateNoise(0.01, 1.0), "fp32") for _ in range(2))
    assert first is not None
    assert second is not None
    one, other = decode(first.tensors["update"]), decode(second.tensors["update"])
    assert all((one[name] != other[name]).mean() > 0.99 for name in one)


@pytest.mark.parametrize(
    "answer", [None, Payload({}, {"error": {"code": "failed", "reference": "00"}})]
)
def test_what_holds_no_update_passes_as_it_is(answer: Payload | None) -> None:
    assert _pulled(answer, UpdateNoise(1.0, 1.0)) is answer


def test_requests_pass_as_they_are() -> None:
    inner = _Answers([])
    noisy = NoisyTransport(inner, ExchangeConfig(), UpdateNoise(1.0, 1.0))
    request = Payload({"model": encode(_update(), "fp32")}, {})
    noisy.push(1, request)
    assert inner.pushed == [(1, request)]
    assert noisy.nodes() == {0, 1}
