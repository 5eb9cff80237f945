"""`NoisySteps`: what an account of privacy adds up."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class NoisySteps:
    """Steps of the Poisson-sampled Gaussian mechanism that are alike.

    The border of a round or of a study plays no part in what steps cost together: equal ones
    add up. A release of counts with Gaussian noise is one step at a rate of 1.

    Attributes:
        noise_multiplier: the noise's standard deviation by what one unit can change (L2).
        sample_rate: the chance that a unit takes part in a step.
        num_steps: how many.
    """

    noise_multiplier: float
    sample_rate: float
    num_steps: int


def merged(history: Iterable[NoisySteps]) -> tuple[NoisySteps, ...]:
    """The same history with equal steps added up, in one order whatever the given one."""
    totals: dict[tuple[float, float], int] = {}
    for steps in history:
        key = (steps.noise_multiplier, steps.sample_rate)
        totals[key] = totals.get(key, 0) + steps.num_steps
    return tuple(NoisySteps(*key, num) for key, num in sorted(totals.items()) if num)
