"""`VeraLinear`: a frozen linear map beside a frozen random product, scaled by trained vectors."""

import torch
from torch import nn
from torch.nn import functional

from fedehr_shared.model.lora.vera_projections import VeraProjections


class VectorScale(nn.Module):
    """Multiplies each feature by a number of its own.

    A module by itself, so that per-sample gradients of the vector need nothing of the layer.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[..., size]` to the same."""
        # In the products' own precision: else q would leave autocast in another dtype than k.
        return x * self.weight.to(x.dtype)


class VeraLinear(nn.Linear):
    """`y = x W' + b * (B (d * (A x)))` (Kopiczko et al. 2024, "VeRA", equation 2).

    A and B are random, frozen and the same for all layers; the vectors d and b are trained.

    Attributes:
        vera_d: weight `[rank]`.
        vera_b: weight `[out]`.
    """

    def __init__(self, linear: nn.Linear, rank: int, projections: VeraProjections) -> None:
        """`linear` gives its matrix, which is taken over and not copied."""
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        self.weight = linear.weight
        self.rank = rank
        self.projections = projections
        self.vera_d = VectorScale(rank)
        self.vera_b = VectorScale(linear.out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[..., in]` to `[..., out]`."""
        first, second = self.factors
        narrow = self.vera_d(functional.linear(x, first))
        wide: torch.Tensor = self.vera_b(functional.linear(narrow, second))
        return functional.linear(x, self.weight) + wide

    @property
    def factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """This layer's part of the shared A `[rank, in]` and B `[out, rank]`."""
        first = self.projections.A[: self.rank, : self.in_features]
        return first, self.projections.B[: self.out_features, : self.rank]

    def change(self) -> torch.Tensor:
        """What the adapter adds to the matrix. Shape: `[out, in]`."""
        first, second = self.factors
        return self.vera_b.weight[:, None] * (second @ (self.vera_d.weight[:, None] * first))
