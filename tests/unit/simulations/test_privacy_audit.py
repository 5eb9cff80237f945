"""The mechanism is held to its epsilon by its own outputs; broken ones do not pass."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedehr_client.privacy.ghost_gradients import GhostGradients
from fedehr_client.privacy.hooked_gradients import HookedGradients
from fedehr_client.privacy.mechanism import Mechanism
from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_shared.privacy.noisy_steps import NoisySteps
from fedehr_shared.privacy.pld import epsilon_bounds
from fedehr_shared.privacy.rdp import subject_epsilon
from fedehr_simulations.attacks.audit.audited_steps import (
    AuditedSteps,
    canary_trials,
    opposed_trials,
)
from fedehr_simulations.attacks.audit.empirical_epsilon import (
    Trials,
    epsilon_shown,
    gaussian_epsilon,
    gaussian_epsilon_shown,
    share_bounds,
)

RIGHT = Mechanism(noise_multiplier=1.0, max_grad_norm=0.7, expected_subjects=20.0)
CONFIDENCE = 0.99999
DELTA = 1e-5
CLAIMED = subject_epsilon([NoisySteps(1.0, 1.0, 1)], DELTA)
EXACT = gaussian_epsilon(1.0, DELTA)


class Quieter(PrivateRandomness):
    """Half of the noise."""

    def normal(self, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        return super().normal(shape, device) / 2


class Seeded(PrivateRandomness):
    """Noise that follows from a seed that others know."""

    def __init__(self) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(0)

    def normal(self, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        return torch.randn(shape, generator=self._generator, dtype=torch.float64).to(device)


class Busier(PrivateRandomness):
    """Subjects take part twice as often as is claimed."""

    def poisson_rows(self, num_rows: int, rate: float) -> Any:
        return super().poisson_rows(num_rows, min(1.0, 2 * rate))


class Unclipped(HookedGradients):
    """A subject counts with twice the norm."""

    def add(self, losses: torch.Tensor, clip: float) -> torch.Tensor | None:
        return super().add(losses, 2 * clip)


class ByLayer(HookedGradients):
    """Each layer's share is clipped to the norm, not all of them together."""

    def add(self, losses: torch.Tensor, clip: float) -> torch.Tensor | None:
        return super().add(losses, math.sqrt(len(self.parameters)) * clip)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def shown(steps: AuditedSteps, num_runs: int = 40) -> float:
    trials = canary_trials(steps, 1_000, num_runs)
    return gaussian_epsilon_shown(trials, DELTA, CONFIDENCE)


@pytest.mark.parametrize("gradients", [HookedGradients, GhostGradients])
def test_one_step_shows_nearly_all_of_its_epsilon_and_no_more(gradients: Any) -> None:
    found = shown(AuditedSteps(RIGHT, gradients=gradients))
    assert 0.75 * EXACT < found <= EXACT <= CLAIMED


@pytest.mark.parametrize(
    "fault",
    [
        {"randomness": Quieter},
        {"gradients": Unclipped},
        {"gradients": ByLayer},
        {"taken": lambda _: replace(RIGHT, noise_multiplier=0.5)},
    ],
    ids=["half-the-noise", "twice-the-norm", "clipped-by-layer", "another-multiplier"],
)
def test_a_fault_shows_more_than_was_claimed(fault: dict[str, Any]) -> None:
    assert shown(AuditedSteps(RIGHT, **fault), 12) > 1.1 * CLAIMED


@pytest.mark.long
def test_a_mean_over_the_site_s_own_number_gives_a_subject_away() -> None:
    right = opposed_trials(AuditedSteps(RIGHT, num_steps=300), 20)
    assert gaussian_epsilon_shown(right, DELTA, CONFIDENCE) <= EXACT
    private = AuditedSteps(
        RIGHT,
        num_steps=600,
        taken=lambda num: replace(RIGHT, expected_subjects=float(num)),
    )
    assert gaussian_epsilon_shown(opposed_trials(private, 20), DELTA, 0.99) > CLAIMED


def test_noise_that_follows_from_a_seed_is_taken_off_again() -> None:
    def replayed(randomness: Any) -> Trials:
        steps = AuditedSteps(RIGHT, randomness=randomness)
        rows, nobody = np.eye(400), np.zeros((1, 400))
        without, with_one = (steps.released(data)[0] for data in (nobody, rows))
        again = steps.released(nobody)[0]
        return Trials(without - again, with_one - again)

    assert gaussian_epsilon_shown(replayed(PrivateRandomness), DELTA, CONFIDENCE) <= CLAIMED
    told = replayed(Seeded)
    assert np.ptp(told.without) == 0.0
    assert told.with_one.min() > 0.9


def test_sampled_steps_show_a_good_part_of_their_epsilon_and_no_more() -> None:
    history, delta = [NoisySteps(0.8, 0.5, 2)], 1e-2
    steps = AuditedSteps(replace(RIGHT, noise_multiplier=0.8), sample_rate=0.5, num_steps=2)
    found = epsilon_shown(canary_trials(steps, 1_000, 60), delta, CONFIDENCE)
    exact = epsilon_bounds(history, delta)
    assert 0.5 * exact.pessimistic < found < exact.pessimistic
    assert exact.pessimistic <= subject_epsilon(history, delta)


@pytest.mark.long
def test_many_sampled_steps_at_length() -> None:
    history, delta = [NoisySteps(1.0, 0.25, 8)], 1e-2
    exact = epsilon_bounds(history, delta).pessimistic
    steps = AuditedSteps(RIGHT, sample_rate=0.25, num_steps=8)
    found = epsilon_shown(canary_trials(steps, 1_000, 400), delta, CONFIDENCE)
    assert 0.7 * exact < found < exact
    often = canary_trials(replace(steps, randomness=Busier), 1_000, 400)
    assert epsilon_shown(often, delta, CONFIDENCE) > exact


def test_the_bounds_hold_as_often_as_they_say() -> None:
    generator = np.random.default_rng(0)
    rate, num_trials = 0.03, 400
    drawn = generator.binomial(num_trials, rate, 1_000)
    bounds = [share_bounds(int(found), num_trials, 0.95) for found in drawn]
    covered = np.mean([low <= rate <= high for low, high in bounds])
    assert covered > 0.95
    assert share_bounds(0, 10, 0.95)[0] == 0.0
    assert share_bounds(10, 10, 0.95)[1] == 1.0


@pytest.mark.parametrize("distance", [0.5, 1.0, 2.0])
def test_the_epsilon_of_two_normal_outputs_is_the_exact_one(distance: float) -> None:
    found = gaussian_epsilon(distance, DELTA)
    exact = epsilon_bounds([NoisySteps(1 / distance, 1.0, 1)], DELTA)
    assert found == pytest.approx(exact.pessimistic, abs=2e-3)


def test_what_is_shown_of_known_outputs_is_below_their_epsilon() -> None:
    generator = np.random.default_rng(1)
    trials = Trials(generator.normal(0, 1, 200_000), generator.normal(1, 1, 200_000))
    exact = gaussian_epsilon(1.0, 1e-2)
    assert 0.8 * exact < epsilon_shown(trials, 1e-2, 0.999) < exact
    same = Trials(generator.normal(0, 1, 20_000), generator.normal(0, 1, 20_000))
    assert epsilon_shown(same, 1e-2, 0.999) == pytest.approx(0.0, abs=0.1)
    assert gaussian_epsilon_shown(same, 1e-2, 0.999) == 0.0
