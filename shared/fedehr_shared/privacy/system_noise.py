"""`SystemNoise`: noise that no seed, message or setting steers."""

import math
import os
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class NoiseSource(Protocol):
    """Where random numbers come from; NumPy's `Generator` is one, for tests alone."""

    def standard_normal(self, size: int) -> NDArray[np.float64]:
        """Independent standard normal numbers. Shape: `[size]`."""
        ...

    def random(self, size: int) -> NDArray[np.float64]:
        """Independent uniform numbers in [0, 1). Shape: `[size]`."""
        ...


class SystemNoise:
    """The operating system's entropy: no seed, no message and no setting steers it.

    Counts are rounded to whole numbers after the noise was added, so that the low bits of a
    floating-point number, which can give noise away (Mironov 2012), never leave.
    """

    def standard_normal(self, size: int) -> NDArray[np.float64]:
        """By Box and Muller (1958); the tails reach 8.5 standard deviations."""
        radius = np.sqrt(-2.0 * np.log(1.0 - self.random(size)))
        return np.asarray(radius * np.cos(2.0 * math.pi * self.random(size)))

    def random(self, size: int) -> NDArray[np.float64]:
        """Multiples of 2^-53."""
        words = np.frombuffer(os.urandom(8 * size), dtype=np.uint64)
        return np.asarray((words >> np.uint64(11)) * 2.0**-53)
