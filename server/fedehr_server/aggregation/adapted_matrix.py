"""`AdaptedMatrix`: one matrix of the encoder with the names of its adapter's parameters."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_server.aggregation.low_rank import LowRank
from fedehr_shared.config.lora import LoraConfig

_ADAPTED = re.compile(r"(encoder\.blocks\.(\d+)\.\w+)\.lora_B\.weight")


@dataclass(frozen=True)
class AdaptedMatrix:
    """A frozen matrix beside which `scale * B A` is trained.

    Attributes:
        name: of the matrix, as `encoder.blocks.0.q`.
        scale: of the product.
    """

    name: str
    scale: float

    @property
    def lora_a(self) -> str:
        """The name of A, `[rank, in]`."""
        return f"{self.name}.lora_A.weight"

    @property
    def lora_b(self) -> str:
        """The name of B, `[out, rank]`."""
        return f"{self.name}.lora_B.weight"

    def product(self, adapters: Mapping[str, NDArray[np.float32]]) -> LowRank:
        """B A, not scaled."""
        return LowRank(
            adapters[self.lora_b].astype(np.float64), adapters[self.lora_a].astype(np.float64)
        )


def adapted_matrices(
    lora: LoraConfig, weights: Mapping[str, NDArray[np.float32]]
) -> tuple[AdaptedMatrix, ...]:
    """Those of `weights` that have an adapter, by name."""
    found = filter(None, map(_ADAPTED.fullmatch, sorted(weights)))
    return tuple(AdaptedMatrix(name[1], lora.scale_of(int(name[2]))) for name in found)
