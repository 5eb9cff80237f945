"""`epsilon_bounds`: what a history costs, from below and from above, by its privacy losses.

Privacy loss distributions (Koskela, Jalko and Honkela 2020; Doroshenko et al. 2022) are nearly
exact and dearer than RDP. Rounded down they give an optimistic epsilon, rounded up a pessimistic
one; the true one lies between. All of it is dp-accounting's. Neighboring data sets differ by
one unit, added or removed.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any

from fedehr_shared.privacy.noisy_steps import NoisySteps, merged
from fedehr_shared.privacy.rdp import subject_epsilon

_INTERVAL = 1e-4
"""Privacy losses are rounded to multiples of it; the optimistic epsilon is too low by about half
of it for each step."""
_INTERVAL_BY_EPSILON = 2e-6
"""And of this share of a large epsilon, lest little noise take gigabytes."""


@dataclass(frozen=True)
class EpsilonBounds:
    """Where the true epsilon lies.

    Attributes:
        optimistic: it is not below this one.
        pessimistic: it is not above this one: the figure to state.
    """

    optimistic: float
    pessimistic: float


def epsilon_bounds(history: Iterable[NoisySteps], delta: float) -> EpsilonBounds:
    """Both bounds of a history's epsilon at `delta`; 0 for an empty history.

    Args:
        history: in any order.
        delta: of the whole history; above 0.
    """
    return _bounds_of(merged(history), delta)


@lru_cache(maxsize=1_024)
def _bounds_of(history: tuple[NoisySteps, ...], delta: float) -> EpsilonBounds:
    about = subject_epsilon(history, delta)
    if about == 0 or math.isinf(about):
        return EpsilonBounds(about, about)
    interval = max(_INTERVAL, _INTERVAL_BY_EPSILON * about)
    optimistic, pessimistic = (
        reduce(_compose, [_distribution(steps, interval, is_upper) for steps in history])
        for is_upper in (False, True)
    )
    return EpsilonBounds(
        float(optimistic.get_epsilon_for_delta(delta)),
        float(pessimistic.get_epsilon_for_delta(delta)),
    )


def _compose(one: Any, other: Any) -> Any:
    return one.compose(other)


def _distribution(steps: NoisySteps, interval: float, is_upper: bool) -> Any:
    """Of all the steps together; without sampling they are one step with less noise."""
    from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism

    sampled = steps.sample_rate < 1
    one = from_gaussian_mechanism(
        steps.noise_multiplier / (1 if sampled else steps.num_steps**0.5),
        value_discretization_interval=interval,
        sampling_prob=min(1.0, steps.sample_rate),
        pessimistic_estimate=is_upper,
        # It has no optimistic kind.
        use_connect_dots=is_upper,
    )
    return one.self_compose(steps.num_steps) if sampled else one
