"""`Places`: some positions of a stream of sequences."""

from dataclasses import dataclass

import torch

from fedehr_shared.tokens.batch import EventBatch, moved_back


@dataclass(frozen=True)
class Places:
    """Positions of a stream, sequence after sequence.

    Attributes:
        index: `[places]` int64, the positions, rising.
        cu_seqlens: `[sequences + 1]` int64, where each sequence's begin among them.
        boundaries: `[sequences + 1]`, the same, readable without waiting for a device.
    """

    index: torch.Tensor
    cu_seqlens: torch.Tensor
    boundaries: list[int]

    @classmethod
    def of(cls, index: torch.Tensor, batch: EventBatch) -> "Places":
        """Positions of a batch on the CPU."""
        cu_seqlens = torch.searchsorted(index, batch.cu_seqlens)
        return cls(index, cu_seqlens, cu_seqlens.tolist())

    def cut(self, sequences: range, begin: int) -> "Places":
        """Those of some neighboring sequences, apart from the stream.

        Args:
            sequences: by number.
            begin: where the first of them begins in the stream.
        """
        low, high = self.boundaries[sequences.start], self.boundaries[sequences.stop]
        some = slice(sequences.start, sequences.stop + 1)
        return Places(
            moved_back(self.index[low:high], begin),
            moved_back(self.cu_seqlens[some], low),
            [place - low for place in self.boundaries[some]],
        )

    def to(self, device: torch.device) -> "Places":
        """The same on `device`; what is pinned is copied while the processor goes on."""
        return Places(
            self.index.to(device, non_blocking=True),
            self.cu_seqlens.to(device, non_blocking=True),
            self.boundaries,
        )

    def pinned(self) -> "Places":
        """The same in page-locked memory, from which CUDA copies without waiting."""
        return Places(self.index.pin_memory(), self.cu_seqlens.pin_memory(), self.boundaries)
