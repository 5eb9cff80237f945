"""`NoiseSpent`: what a noisy release costs each subject, as both ends are told."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NoiseSpent:
    """A release under (epsilon, delta) differential privacy, one subject added or removed.

    Attributes:
        subject_epsilon: of the whole release, all counts together.
        delta: half of it is the Gaussian mechanism's, half the chance that a code is named
            that one subject alone has.
        sigma: the noise's standard deviation, in subjects.
    """

    subject_epsilon: float
    delta: float
    sigma: float
