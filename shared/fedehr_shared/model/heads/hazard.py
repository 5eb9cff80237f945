"""Time to an event: a hazard in each of a row of intervals, and its likelihood."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


class HazardLoss(nn.Module):
    """The negative log-likelihood of discrete-time survival (Gensheimer and Narasimhan 2019).

    Outputs are log-odds of the hazards h[j]: the chance that the event falls into interval j,
    from one end (not counted) to the next (counted), for who had none before.

    - Event in interval j: `-log h[j]`, and `-log (1 - h[k])` for all before it.
    - Censored: `-log (1 - h[k])` of every interval whose middle was reached. Who was seen for
      less than half of an interval says nothing of it, who was seen for more, that it passed.
    - An event after the last end, the horizon, is as censored at the horizon.
    """

    begins: torch.Tensor
    ends: torch.Tensor

    def __init__(self, interval_ends_hours: Sequence[float]) -> None:
        """`interval_ends_hours`: rising; the first interval begins at 0."""
        super().__init__()
        ends = torch.tensor(interval_ends_hours, dtype=torch.float64)
        begins = torch.cat([ends.new_zeros(1), ends[:-1]])
        self.register_buffer("begins", begins.float(), persistent=False)
        self.register_buffer("ends", ends.float(), persistent=False)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Losses in nats.

        Args:
            logits: `[labels, intervals]`.
            labels: `[labels]`, hours to the event; negative: censored after so many.

        Shape: `[labels]`.
        """
        hours = labels.abs()[:, None]
        has_event = labels[:, None] > 0
        # An event at the very end of an interval falls into it, and did not pass it.
        middles = (self.begins + self.ends) / 2
        passed = torch.where(has_event, hours > self.ends, hours >= middles)
        here = has_event & (hours > self.begins) & (hours <= self.ends)
        of_passing = functional.softplus(logits) * passed
        of_event = functional.softplus(-logits) * here
        return (of_passing + of_event).sum(dim=1)
