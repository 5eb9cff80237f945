"""Exact weighted sums: 64-bit fixed point, so that the order of arrival changes no bit."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.errors import WireError

FRACTION_BITS = 44
"""Resolution 2^-44 = 6e-14; with weights that sum to at most 1, sums stay exact while every
element is below `LARGEST`."""
LARGEST = 2.0**18


class FixedPointSum:
    """Adds weighted tensors one reply at a time; memory does not grow with the replies."""

    def __init__(self, total_weight: int) -> None:
        """`total_weight`: an upper bound of the weights to come, the same for every order."""
        self._total_weight = total_weight
        self._sums: dict[str, NDArray[np.int64]] = {}
        self._weight = 0

    @property
    def weight(self) -> int:
        """The weights added so far."""
        return self._weight

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of what was added; empty where nothing was."""
        return {name: fixed.shape for name, fixed in self._sums.items()}

    def add(self, tensors: Mapping[str, NDArray[np.float32]], weight: int) -> None:
        """Add `weight / total_weight` times each tensor.

        Raises:
            WireError: as `check`; nothing is added then.
        """
        self.check(tensors, weight)
        share = weight / self._total_weight
        for name, tensor in tensors.items():
            scaled = tensor.astype(np.float64) * (share * 2.0**FRACTION_BITS)
            fixed = np.rint(scaled).astype(np.int64)
            if name in self._sums:
                self._sums[name] += fixed
            else:
                self._sums[name] = fixed
        self._weight += weight

    def check(self, tensors: Mapping[str, NDArray[np.float32]], weight: int) -> None:
        """Say whether these may be added.

        Raises:
            WireError: an element is NaN, infinite or above `LARGEST`, names or shapes differ
                from what was added before, or the weights exceed their bound.
        """
        if not 0 < weight <= self._total_weight - self._weight:
            raise WireError("the sites' weights exceed what they declared. Start the study anew.")
        for name, tensor in tensors.items():
            if not bool(np.all(np.abs(tensor) <= LARGEST)):
                raise WireError(f"tensor {name} holds NaN, infinity or a value above {LARGEST:g}.")
        if self._sums and self.shapes != {name: tensor.shape for name, tensor in tensors.items()}:
            raise WireError("the tensors are not those that the other sites sent.")

    def mean(self) -> dict[str, NDArray[np.float32]]:
        """The weighted mean of what was added, in float32."""
        scale = self._total_weight / (self._weight * 2.0**FRACTION_BITS)
        return {
            name: np.asarray(fixed.astype(np.float64) * scale, dtype=np.float32)
            for name, fixed in self._sums.items()
        }

    def total(self, added: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float32]]:
        """The sum of `weight / total_weight` times each, in float32, whoever did not answer.

        Args:
            added: by name, what is rounded to the sum's resolution and added to it, exactly.
        """
        return {
            name: np.asarray(
                (fixed + np.rint(added[name] * 2.0**FRACTION_BITS).astype(np.int64))
                * 2.0**-FRACTION_BITS,
                dtype=np.float32,
            )
            for name, fixed in self._sums.items()
        }
