"""`VeraMatrix`: one matrix of the encoder with VeRA's two vectors, and their frozen projections."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_server.aggregation.low_rank import LowRank
from fedehr_shared.model.lora.vera_projections import draw_projections

_VECTOR_B = re.compile(r"(encoder\.blocks\.\d+\.\w+)\.vera_b\.weight")


@dataclass(frozen=True)
class VeraMatrix:
    """A frozen matrix beside which `diag(b) B diag(d) A` is trained.

    Attributes:
        name: of the matrix, as `encoder.blocks.0.q`.
        a: its part of the shared projections, `[rank, in]` float64.
        b: its part of them, `[out, rank]` float64.
    """

    name: str
    a: NDArray[np.float64]
    b: NDArray[np.float64]

    def outer(self, adapters: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
        """b d', by which B is multiplied elementwise. Shape: `[out, rank]`."""
        wide = adapters[f"{self.name}.vera_b.weight"].astype(np.float64)
        return np.multiply.outer(wide, adapters[f"{self.name}.vera_d.weight"])

    def norm(self, outer: NDArray[np.float64]) -> float:
        """Frobenius norm of what the matrix changes by."""
        return LowRank(outer * self.b, self.a).norm


def vera_matrices(weights: Mapping[str, NDArray[np.float32]], seed: int) -> tuple[VeraMatrix, ...]:
    """Those of `weights` that have VeRA's vectors, by name.

    Args:
        weights: of the whole model: the frozen matrices tell how large projections are.
        seed: the study's.
    """
    found = filter(None, map(_VECTOR_B.fullmatch, sorted(weights)))
    shapes = {
        name[1]: (*weights[f"{name[1]}.weight"].shape, len(weights[f"{name[1]}.vera_d.weight"]))
        for name in found
    }
    num_out, num_in, rank = (max(sizes) for sizes in zip(*shapes.values(), strict=True))
    a, b = (part.astype(np.float64) for part in draw_projections(num_in, num_out, rank, seed))
    return tuple(
        VeraMatrix(name, a[:rank, :num_in], b[:num_out, :rank])
        for name, (num_out, num_in, rank) in shapes.items()
    )
