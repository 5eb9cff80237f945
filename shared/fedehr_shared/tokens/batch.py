"""`EventBatch`: several subjects' sequences as one flat stream, without padding."""

from dataclasses import dataclass

import torch

MAX_VISITS = 8
NUM_SEXES = 4
"""0 unknown, 1 female, 2 male, 3 another."""


@dataclass(frozen=True)
class EventBatch:
    """Sequences end to end. Each begins with `[START]`, so that none is empty.

    Attributes:
        tokens: `[tokens]` int64.
        hours: `[tokens]` float32, since the sequence's first event.
        ages: `[tokens]` float32, in centuries; 0 where unknown.
        visits: `[tokens]` int64, 0 to `MAX_VISITS - 1`.
        sexes: `[tokens]` int64, the subject's, 0 to `NUM_SEXES - 1`.
        cu_seqlens: `[sequences + 1]` int64, where each sequence begins.
        boundaries: `[sequences + 1]`, the same, readable without waiting for a device.
    """

    tokens: torch.Tensor
    hours: torch.Tensor
    ages: torch.Tensor
    visits: torch.Tensor
    sexes: torch.Tensor
    cu_seqlens: torch.Tensor
    boundaries: list[int]

    @property
    def num_sequences(self) -> int:
        """The number of sequences."""
        return len(self.boundaries) - 1

    def cut(self, sequences: range) -> "EventBatch":
        """Some neighboring sequences, as views of the same memory where that can be."""
        begin, end = self.boundaries[sequences.start], self.boundaries[sequences.stop]
        return EventBatch(
            self.tokens[begin:end],
            self.hours[begin:end],
            self.ages[begin:end],
            self.visits[begin:end],
            self.sexes[begin:end],
            moved_back(self.cu_seqlens[sequences.start : sequences.stop + 1], begin),
            [place - begin for place in self.boundaries[sequences.start : sequences.stop + 1]],
        )

    def to(self, device: torch.device) -> "EventBatch":
        """The same batch on `device`; a pinned one is copied while the processor goes on."""
        return EventBatch(
            self.tokens.to(device, non_blocking=True),
            self.hours.to(device, non_blocking=True),
            self.ages.to(device, non_blocking=True),
            self.visits.to(device, non_blocking=True),
            self.sexes.to(device, non_blocking=True),
            self.cu_seqlens.to(device, non_blocking=True),
            self.boundaries,
        )

    def pinned(self) -> "EventBatch":
        """The same batch in page-locked memory, from which CUDA copies without waiting."""
        return EventBatch(
            self.tokens.pin_memory(),
            self.hours.pin_memory(),
            self.ages.pin_memory(),
            self.visits.pin_memory(),
            self.sexes.pin_memory(),
            self.cu_seqlens.pin_memory(),
            self.boundaries,
        )


def moved_back(places: torch.Tensor, num: int) -> torch.Tensor:
    """Places of a stream, less `num`: in page-locked memory where they lay there, lest a piece of
    a pinned batch make the processor wait for its device."""
    moved = torch.empty_like(places, pin_memory=places.is_pinned())
    return torch.sub(places, num, out=moved)
