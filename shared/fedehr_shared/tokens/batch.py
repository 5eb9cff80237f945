"""`EventBatch`: several subjects' sequences as one flat stream, without padding."""

from dataclasses import dataclass

import torch

MAX_VISITS = 8


@dataclass(frozen=True)
class EventBatch:
    """Sequences end to end. Each begins with `[START]`, so that none is empty.

    Attributes:
        tokens: `[tokens]` int64.
        hours: `[tokens]` float32, since the sequence's first event.
        ages: `[tokens]` float32, in centuries; 0 where unknown.
        visits: `[tokens]` int64, 0 to `MAX_VISITS - 1`.
        cu_seqlens: `[sequences + 1]` int64, where each sequence begins.
    """

    tokens: torch.Tensor
    hours: torch.Tensor
    ages: torch.Tensor
    visits: torch.Tensor
    cu_seqlens: torch.Tensor

    @property
    def num_sequences(self) -> int:
        """The number of sequences."""
        return int(self.cu_seqlens.numel()) - 1

    def to(self, device: torch.device) -> "EventBatch":
        """The same batch on `device`; a pinned one is copied while the processor goes on."""
        return EventBatch(
            self.tokens.to(device, non_blocking=True),
            self.hours.to(device, non_blocking=True),
            self.ages.to(device, non_blocking=True),
            self.visits.to(device, non_blocking=True),
            self.cu_seqlens.to(device, non_blocking=True),
        )

    def pinned(self) -> "EventBatch":
        """The same batch in page-locked memory, from which CUDA copies without waiting."""
        return EventBatch(
            self.tokens.pin_memory(),
            self.hours.pin_memory(),
            self.ages.pin_memory(),
            self.visits.pin_memory(),
            self.cu_seqlens.pin_memory(),
        )
