"""The focal factor (Lin et al. 2017, without their alpha, which `class_weights` is)."""

import torch

_LEAST = 1e-7
"""A power below one has no slope at zero."""


def focal_factor(log_chances: torch.Tensor, gamma: float) -> torch.Tensor | float:
    """`(1 - p)^gamma`: little for what is predicted well already; 1 with gamma 0.

    Args:
        log_chances: log p, of any shape.
        gamma: 0 or above.
    """
    if gamma == 0.0:
        return 1.0
    return (-torch.expm1(log_chances)).clamp(min=_LEAST) ** gamma
