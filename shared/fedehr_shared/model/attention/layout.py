"""`SequenceLayout`: where each sequence of a flat stream lies."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import torch


class Stream(Protocol):
    """Sequences end to end, as an `EventBatch` holds them."""

    @property
    def cu_seqlens(self) -> torch.Tensor:
        """`[sequences + 1]`, where each sequence begins."""

    @property
    def boundaries(self) -> list[int]:
        """The same, readable without waiting for a device."""


@dataclass(frozen=True, eq=False)
class SequenceLayout:
    """Made once for a batch, and read by every layer.

    Attributes:
        cu_seqlens: `[sequences + 1]` int32 on the device, where each sequence begins.
        boundaries: `[sequences + 1]`, the same in Python.
        max_length: tokens of the longest sequence.
    """

    cu_seqlens: torch.Tensor
    boundaries: list[int]
    max_length: int

    @classmethod
    def of(cls, stream: Stream) -> "SequenceLayout":
        """The layout of a batch, on its device."""
        boundaries = stream.boundaries
        return cls(
            stream.cu_seqlens.to(torch.int32),
            boundaries,
            max(end - begin for begin, end in pairwise(boundaries)),
        )

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sequence."""
        return [end - begin for begin, end in pairwise(self.boundaries)]

    @property
    def num_sequences(self) -> int:
        """The number of sequences."""
        return len(self.boundaries) - 1

    @property
    def num_tokens(self) -> int:
        """Tokens of all sequences."""
        return self.boundaries[-1]

    @cached_property
    def owners(self) -> torch.Tensor:
        """The number of the sequence that each token belongs to. `[tokens]` int64."""
        numbers = torch.arange(self.num_sequences, device=self.cu_seqlens.device)
        return torch.repeat_interleave(numbers, self.cu_seqlens.diff(), output_size=self.num_tokens)

    @cached_property
    def places(self) -> torch.Tensor:
        """Each token's row in a padded batch laid flat. `[tokens]` int64."""
        index = torch.arange(self.num_tokens, device=self.cu_seqlens.device)
        starts = self.cu_seqlens.long()[self.owners]
        return self.owners * self.max_length + index - starts
