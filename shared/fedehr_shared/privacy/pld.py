"""`epsilon_bounds`: what a history costs, from below and from above, by its privacy losses.

Privacy loss distributions (Koskela, Jalko and Honkela 2020; Doroshenko et al. 2022) are nearly
exact and dearer than RDP. Rounded down they give an optimistic epsilon, rounded up a pessimistic
one; the true one lies between. All of it is dp-accounting's. Neighboring data sets differ by
one unit, added or removed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fedehr_shared.privacy.noisy_steps import NoisySteps, merged

INTERVAL = 1e-4
"""Privacy losses are rounded to multiples of it; the optimistic epsilon is too low by about half
of it for each step."""


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
    steps = merged(history)
    if not steps:
        return EpsilonBounds(0.0, 0.0)
    return EpsilonBounds(
        _epsilon(steps, delta, pessimistic=False), _epsilon(steps, delta, pessimistic=True)
    )


def _epsilon(history: tuple[NoisySteps, ...], delta: float, *, pessimistic: bool) -> float:
    first, *others = (_distribution(steps, pessimistic=pessimistic) for steps in history)
    total = first
    for other in others:
        total = total.compose(other)
    return float(total.get_epsilon_for_delta(delta))


def _distribution(steps: NoisySteps, *, pessimistic: bool) -> Any:
    """Of all the steps together; without sampling they are one step with less noise."""
    from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism

    sampled = steps.sample_rate < 1
    one = from_gaussian_mechanism(
        steps.noise_multiplier / (1 if sampled else steps.num_steps**0.5),
        value_discretization_interval=INTERVAL,
        sampling_prob=min(1.0, steps.sample_rate),
        pessimistic_estimate=pessimistic,
        # It has no optimistic kind.
        use_connect_dots=pessimistic,
    )
    return one.self_compose(steps.num_steps) if sampled else one
