"""`VeraProjections`: the frozen random matrices that all of a model's VeRA layers share."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedehr_shared.seeds import derive_generator

Matrix = NDArray[np.float32]


class VeraProjections(nn.Module):
    """A and B of VeRA, drawn from the study's seed: they need not travel.

    They are as large as the largest layer and the highest rank ask for; a layer takes the upper
    left corner. As buffers they move with the model; its parameters and messages lack them.

    Attributes:
        A: `[rank, in]`.
        B: `[out, rank]`.
    """

    A: torch.Tensor
    B: torch.Tensor

    def __init__(self, num_in: int, num_out: int, rank: int, seed: int) -> None:
        super().__init__()
        first, second = draw_projections(num_in, num_out, rank, seed)
        self.register_buffer("A", torch.from_numpy(first), persistent=False)
        self.register_buffer("B", torch.from_numpy(second), persistent=False)


def draw_projections(num_in: int, num_out: int, rank: int, seed: int) -> tuple[Matrix, Matrix]:
    """A `[rank, in]` and B `[out, rank]`, uniform with variance 2 / columns (He et al. 2015), as
    Kopiczko et al. 2024 found best."""
    generator = derive_generator(seed, "vera")

    def drawn(rows: int, columns: int) -> Matrix:
        bound = (6 / columns) ** 0.5
        return generator.uniform(-bound, bound, (rows, columns)).astype(np.float32)

    return drawn(rank, num_in), drawn(num_out, rank)
