"""`CentralMean`: the noisy mean of clipped updates (DP-FedAvg, McMahan et al. 2018).

The unit is a site: neighboring runs differ by one site's updates, which are there or not. That a
site takes part is public, and so is what the sum is divided by: the sites that joined the run,
whether or not they answered. So a site moves the mean by `max_update_norm / num_sites` at most,
whatever it sends, how many subjects it has and whoever else is missing.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.errors import ConfigError, WireError
from fedehr_shared.privacy.system_noise import NoiseSource
from fedehr_shared.wire.fixed_point import FRACTION_BITS, LARGEST, FixedPointSum
from fedehr_shared.wire.payload import Arrays

_MARGIN = 1e-6
"""Of the norm, for rounding to float32."""
_LONGEST_TAIL = 10.0
"""No normal number that the noise is made of is larger."""


class CentralMean:
    """One round's sum. The order in which sites are added changes no bit of it."""

    def __init__(
        self, max_norm: float, noise_multiplier: float, num_sites: int, noise: NoiseSource
    ) -> None:
        """Nothing is added yet.

        Args:
            max_norm: an update is scaled down to it, all its tensors as one vector.
            noise_multiplier: the noise's standard deviation by what one site can change.
            num_sites: the sites that joined the run.
            noise: where it comes from.

        Raises:
            ConfigError: the noise would be beyond the numbers that are added up.
        """
        self._max_norm = max_norm
        self._deviation = noise_multiplier * max_norm / num_sites
        if self._deviation * _LONGEST_TAIL > LARGEST:
            raise ConfigError(
                f"[privacy] max_update_norm = {max_norm:g} asks for noise beyond {LARGEST:g} in "
                "each weight. Lower it: an update's norm is seldom above 10."
            )
        self._num_sites = num_sites
        self._noise = noise
        self._sum = FixedPointSum(num_sites)

    def add(self, update: Arrays) -> None:
        """Clip a site's update and add it.

        Raises:
            WireError: a value is NaN, infinite or too large, or more sites answer than joined;
                nothing was added.
        """
        self._sum.check(update, 1)
        self._sum.add(self._clipped(update), 1)

    def close(self) -> Arrays:
        """The mean with fresh noise: to be asked for once.

        The noise is rounded to the grid of the sum, and both are added as whole numbers: the low
        bits of a sum of floating-point numbers could give the noise away (Mironov 2012).

        Raises:
            WireError: no site answered.
        """
        shapes = self._sum.shapes
        if not shapes:
            raise WireError("a round closed without an answer.")
        return self._sum.total({name: self._draw(shapes[name]) for name in sorted(shapes)})

    def _clipped(self, update: Arrays) -> Arrays:
        norm = norm_of(update)
        most = self._most(sum(value.size for value in update.values()))
        if norm <= most:
            return update
        scale = most / norm
        return {
            name: (value.astype(np.float64) * scale).astype(np.float32)
            for name, value in update.items()
        }

    def _most(self, num_values: int) -> float:
        """The norm less what rounding to the sum's grid can add to it."""
        by_grid = self._num_sites * math.sqrt(num_values) * 2.0 ** -(FRACTION_BITS + 1)
        return max(0.0, self._max_norm * (1 - _MARGIN) - by_grid)

    def _draw(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        noise = self._noise.standard_normal(math.prod(shape)).reshape(shape)
        return np.asarray(self._deviation * noise)


def norm_of(update: Mapping[str, NDArray[np.float32]]) -> float:
    """The Euclidean norm of all tensors as one vector; tensors by their names."""
    squares = (np.square(update[name], dtype=np.float64).sum() for name in sorted(update))
    return math.sqrt(math.fsum(map(float, squares)))
