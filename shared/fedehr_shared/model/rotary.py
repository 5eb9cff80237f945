"""Rotary positions on elapsed time: events an hour apart turn alike, wherever they stand."""

import math

import torch

SHORTEST_PERIOD_HOURS = 1.0
LONGEST_PERIOD_HOURS = 10 * 365.25 * 24


def rotary_angles(hours: torch.Tensor, head_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of each token's turns (Su et al. 2021, with time for position).

    Whole turns are counted in float64: after thirty years a float32 is wrong by 6 degrees in
    the angle of the shortest period. Cosines and sines are float32, under autocast too.

    Args:
        hours: `[tokens]` or `[subjects, length]` float32, since the sequence's first event.
        head_size: features of a head, even.

    Shape:
        Two tensors `[..., 1, head_size / 2]`. The periods rise geometrically from one hour
        to ten years.
    """
    num_pairs = head_size // 2
    steps = torch.arange(num_pairs, device=hours.device, dtype=torch.float64)
    growth = math.log(LONGEST_PERIOD_HOURS / SHORTEST_PERIOD_HOURS) / max(1, num_pairs - 1)
    turns = hours[..., None] / (SHORTEST_PERIOD_HOURS * torch.exp(steps * growth))
    angles = (turns.frac() * (2 * math.pi)).float()
    return angles.cos().unsqueeze(-2), angles.sin().unsqueeze(-2)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn each pair of features, in float32. `[..., heads, head_size]` to the same."""
    left, right = x.chunk(2, dim=-1)
    turned = torch.cat([left * cos - right * sin, left * sin + right * cos], dim=-1)
    return turned.to(x.dtype)
