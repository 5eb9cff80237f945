"""`ClippingNorm`: the norm that subjects' gradients are scaled down to, fixed or adaptive."""

import math

import torch

from fedehr_client.privacy.mechanism import Mechanism
from fedehr_client.privacy.randomness import PrivateRandomness

_LEAST, _MOST = 1e-6, 1e6


class ClippingNorm:
    """Follows a quantile of the gradients' norms by noisy counts (Andrew et al. 2021,
    "Differentially Private Learning with Adaptive Clipping", algorithm 1), or stays.

    It follows from noised numbers alone, so that the site may keep it from round to round, and
    scale the noise by it.

    Attributes:
        mechanism: whose norm it is.
        value: as it is for the next step.
    """

    def __init__(self, mechanism: Mechanism) -> None:
        """Begin at the study's first norm."""
        self.mechanism = mechanism
        self.value = mechanism.max_grad_norm

    @property
    def adapts(self) -> bool:
        """Whether it moves at all."""
        return self.mechanism.quantile > 0

    def follow(self, norms: torch.Tensor, randomness: PrivateRandomness) -> None:
        """Move once, after a step.

        Args:
            norms: `[subjects]`, of all the step's; none where it had none.
            randomness: for the count's noise.
        """
        if not self.adapts:
            return
        mechanism = self.mechanism
        # Half less for each subject: one more or less then moves the sum by a half, not by one.
        count = float((norms <= self.value).double().sub(0.5).sum())
        noise = float(randomness.normal((1,), torch.device("cpu")))
        noisy = count + mechanism.count_noise * noise
        share = noisy / mechanism.expected_subjects + 0.5
        moved = self.value * math.exp(-mechanism.adaption_rate * (share - mechanism.quantile))
        self.value = min(max(moved, _LEAST), _MOST)
