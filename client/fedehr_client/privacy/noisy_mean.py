"""`noisy_mean`: a clipped sum with its noise, over the public number of subjects."""

import math

import torch

from fedehr_client.privacy.mechanism import Mechanism
from fedehr_client.privacy.randomness import PrivateRandomness

_GRID_BITS = 24
"""Digits of the noise below its standard deviation, or below the clipping norm if that is less."""


def noisy_mean(
    total: torch.Tensor, clip: float, mechanism: Mechanism, randomness: PrivateRandomness
) -> torch.Tensor:
    """The noisy sum of a step's gradients, divided by the expected number of subjects.

    Floating-point noise gives itself away by which numbers it can add up to (Mironov 2012). So
    the sum and the noise are each rounded to one grid, and added without rounding in float64:
    every sum can come to every point of it. By the grid one subject moves a sum of d numbers by
    up to sqrt(d) 2^-24 of the clipping norm more, which is within `MARGIN` up to 60 million of
    them. Dividing, and rounding to float32, come after the noise.

    Args:
        total: a parameter's share of the sum of clipped gradients.
        clip: the norm that each was scaled down to, of all parameters together.
        mechanism: the noise, and what to divide by.
        randomness: the site's own.
    """
    deviation = mechanism.noise_multiplier * clip
    step = 2.0 ** (math.floor(math.log2(min(deviation, clip))) - _GRID_BITS)
    noise = randomness.normal(tuple(total.shape), total.device).mul_(deviation / step).round_()
    noise += (total.double() / step).round_()
    return (noise * (step / mechanism.expected_subjects)).float()
