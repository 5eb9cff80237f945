"""`NoisyTransport`: sites' updates are cut to a norm and get noise before they are sent.

A stand-in for local DP-SGD, to see which ways of averaging bear noise. It is no guarantee of
privacy: nothing is accounted, and the unit is a site's whole update of a round.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_server.transport import Absence, Transport
from fedehr_shared.config.exchange import ExchangeConfig
from fedehr_shared.wire.codec.record import decode, encode
from fedehr_shared.wire.payload import Arrays, Payload

_UPDATE = "update"


@dataclass(frozen=True)
class UpdateNoise:
    """The Gaussian mechanism on one update (Dwork and Roth 2014).

    Attributes:
        multiplier: deviation of the noise of each number, as a multiple of `clip_norm`.
        clip_norm: an update that is longer is cut to this (Euclidean) norm, over all its tensors.
    """

    multiplier: float
    clip_norm: float

    def apply(self, update: Arrays, generator: np.random.Generator) -> Arrays:
        """The update as it leaves the site."""
        norm = float(np.sqrt(sum(_squares(value) for value in update.values())))
        share = min(1.0, self.clip_norm / norm) if norm > 0 else 1.0
        deviation = self.multiplier * self.clip_norm
        return {
            name: (share * value + deviation * generator.standard_normal(value.shape)).astype(
                np.float32
            )
            for name, value in update.items()
        }


class NoisyTransport:
    """Adds noise to every update that another transport brings.

    The noise comes from a generator that the operating system seeds: two runs of one study differ.
    """

    def __init__(self, inner: Transport, exchange: ExchangeConfig, noise: UpdateNoise) -> None:
        """`exchange`: the form in which an update is sent again."""
        self._inner = inner
        self._exchange = exchange
        self._noise = noise
        self._generator = np.random.default_rng()

    def nodes(self) -> frozenset[int]:
        """As the other's."""
        return self._inner.nodes()

    def push(self, node: int, payload: Payload) -> None:
        """As the other's."""
        self._inner.push(node, payload)

    def pull(self) -> list[tuple[int, Payload | Absence | None]]:
        """The other's answers, their updates with noise."""
        return [
            (node, self._noised(payload) if isinstance(payload, Payload) else payload)
            for node, payload in self._inner.pull()
        ]

    def wait(self) -> None:
        """As the other's."""
        self._inner.wait()

    def _noised(self, payload: Payload) -> Payload:
        if _UPDATE not in payload.tensors:
            return payload
        noised = self._noise.apply(decode(payload.tensors[_UPDATE]), self._generator)
        again = encode(
            noised,
            self._exchange.dtype,
            compress=self._exchange.compress,
            generator=self._generator,
        )
        return Payload({**payload.tensors, _UPDATE: again}, payload.values)


def _squares(value: NDArray[np.float32]) -> float:
    return float(np.square(value, dtype=np.float64).sum())
