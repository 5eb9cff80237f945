"""`LoraLinear`: a linear map whose matrix is frozen, with a trained low-rank product beside it."""

import torch
from torch import nn
from torch.nn import functional


class LoraLinear(nn.Linear):
    """`y = x W' + scale * x A' B'` (Hu et al. 2022, "LoRA", section 4.1).

    - The matrix is the layer's own `weight`, as in the `nn.Linear` that it replaces: weights of
      the pre-trained model keep their names. Who trains freezes it, see `TuningPlan`
    - A and B are `nn.Linear` that are called as such: whoever listens to modules, as per-sample
      gradients do, sees them

    Attributes:
        scale: what the product is multiplied by, see `LoraConfig.scale_of`.
        lora_A: weight `[rank, in]`.
        lora_B: weight `[out, rank]`.
    """

    def __init__(self, linear: nn.Linear, rank: int, scale: float) -> None:
        """`linear` gives its matrix, which is taken over and not copied."""
        # On the device without memory: the matrix is there already.
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        self.weight = linear.weight
        self.scale = scale
        self.lora_A = nn.Linear(linear.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, linear.out_features, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[..., in]` to `[..., out]`."""
        # Scaled between the two: there are `rank` numbers a token, and not `out`.
        product: torch.Tensor = self.lora_B(self.lora_A(x) * self.scale)
        return functional.linear(x, self.weight) + product

    def change(self) -> torch.Tensor:
        """What the adapter adds to the matrix. Shape: `[out, in]`."""
        return self.lora_B.weight @ self.lora_A.weight * self.scale
