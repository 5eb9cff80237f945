"""The noisy mean's grid, and the clipping norm that follows a quantile."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from fedehr_client.privacy.clipping_norm import ClippingNorm
from fedehr_client.privacy.mechanism import Mechanism
from fedehr_client.privacy.noisy_mean import noisy_mean
from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_client.privacy.subject_gradients import MARGIN, clip_factors
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError

FIXED = Mechanism(noise_multiplier=0.7, max_grad_norm=0.3, expected_subjects=8.0)
ADAPTIVE = replace(FIXED, quantile=0.5, adaption_rate=0.2, count_noise=2.0)
Known = Callable[[int], PrivateRandomness]


def test_every_sum_comes_to_points_of_one_grid(known: Known) -> None:
    """Which points a sum can come to tells nothing of it (Mironov 2012)."""
    mechanism = replace(FIXED, expected_subjects=1.0)  # so that no division hides the grid
    grid = 2.0 ** (math.floor(math.log2(0.7 * 0.3)) - 24)
    generator = torch.Generator().manual_seed(3)
    for total in (torch.zeros(64), torch.randn(64, generator=generator) * 1e-3):
        found = noisy_mean(total, 0.3, mechanism, known(5)).double() / grid
        # As float32 holds them: half of the digits beyond the grid are zero.
        assert torch.equal(found, found.round())


def test_the_same_noise_is_added_whatever_the_sum(known: Known) -> None:
    total = torch.linspace(-1, 1, 101)
    with_sum = noisy_mean(total, 0.3, FIXED, known(5)).double()
    alone = noisy_mean(torch.zeros(101), 0.3, FIXED, known(5)).double()
    torch.testing.assert_close((with_sum - alone) * 8, total.double(), rtol=1e-6, atol=1e-6)


def test_the_noise_is_as_large_as_promised() -> None:
    found = noisy_mean(torch.zeros(400_000), 0.3, FIXED, PrivateRandomness()) * 8
    assert float(found.std()) == pytest.approx(0.7 * 0.3, rel=0.01)
    assert abs(float(found.mean())) < 5 * 0.21 / math.sqrt(400_000)


def test_factors_bring_every_norm_within_the_clip_and_drop_what_is_no_number() -> None:
    norms = torch.tensor([0.0, 0.1, 0.2999, 0.3, 5.0, 1e30, math.inf, math.nan])
    factors = clip_factors(norms, 0.3)
    assert bool((factors[:6].double() * norms[:6].double() < 0.3).all())
    assert factors[:2].tolist() == [1.0, 1.0]
    assert float(factors[4] * 5) == pytest.approx(0.3 * (1 - MARGIN))
    assert factors[6:].tolist() == [0.0, 0.0]


def test_a_fixed_norm_stays_and_draws_nothing(known: Known) -> None:
    norm, randomness = ClippingNorm(FIXED), known(1)
    norm.follow(torch.tensor([9.0, 9.0]), randomness)
    assert norm.value == 0.3
    assert randomness.seed() == known(1).seed()


@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.8])
def test_an_adaptive_norm_comes_to_its_quantile(known: Known, quantile: float) -> None:
    mechanism = replace(
        ADAPTIVE, quantile=quantile, expected_subjects=200.0, max_grad_norm=30.0, count_noise=5.0
    )
    norm, randomness = ClippingNorm(mechanism), known(2)
    norms = torch.linspace(0.01, 2.0, 200)
    values = []
    for _ in range(200):
        norm.follow(norms, randomness)
        values.append(norm.value)
    last = sum(values[-100:]) / 100
    assert last == pytest.approx(float(norms.quantile(quantile)), rel=0.15)


def test_one_subject_moves_the_count_by_half_a_subject(known: Known) -> None:
    """As its account has it: see `gradient_noise_multiplier`."""
    for more in (0.0, 9.0, math.nan):
        moved = []
        for norms in ([0.1, 0.5], [0.1, 0.5, more]):
            norm = ClippingNorm(ADAPTIVE)
            norm.follow(torch.tensor(norms), known(4))
            moved.append(math.log(norm.value))
        step = 0.5 * ADAPTIVE.adaption_rate / ADAPTIVE.expected_subjects
        assert abs(moved[1] - moved[0]) == pytest.approx(step, rel=1e-6)


def test_an_adaptive_norm_follows_without_any_subject(known: Known) -> None:
    norm = ClippingNorm(ADAPTIVE)
    norm.follow(torch.zeros(0), known(1))
    assert norm.value != ADAPTIVE.max_grad_norm


def test_a_mechanism_is_made_of_public_numbers_alone() -> None:
    study = StudyConfig.model_validate(
        {
            "name": "small",
            "finetuning": {"tasks": ["death"], "rounds": 2, "steps_per_round": 3},
            "pretraining": {"rounds": 2, "steps_per_round": 3},
            "privacy": {
                "mechanism": "local", "noise_multiplier": 1.25, "target_delta": 1e-5,
                "nominal_subjects": 2_000,
                "finetuning": {"sample_rate": 0.02, "max_grad_norm": 0.5},
            },
        }
    )  # fmt: skip
    found = Mechanism.of(study, "finetuning")
    assert found.expected_subjects == pytest.approx(40.0)
    assert found.max_grad_norm == 0.5
    assert found.noise_multiplier == Mechanism.of(study, "pretraining").noise_multiplier == 1.25


@pytest.mark.parametrize("wrong", ["noise_multiplier", "max_grad_norm", "expected_subjects"])
def test_a_mechanism_without_noise_is_none(wrong: str) -> None:
    for value in (0.0, -1.0, math.nan):
        with pytest.raises(ConfigError, match=wrong):
            replace(FIXED, **{wrong: value})
