"""`PaddedBatch`: one row a subject, padded to the longest, as per-subject gradients need it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import torch

from fedehr_shared.tokens.batch import EventBatch

_FEATURES = ("tokens", "hours", "ages", "visits", "sexes")


@dataclass(frozen=True)
class PaddedBatch:
    """The sequences of an `EventBatch` under each other. What pads a row is zeros, `[PAD]` among
    the tokens; no real event sees it, and no subject's gradient has anything of it.

    Attributes:
        lengths: `[subjects]`, events of each, readable without waiting for a device.
        tokens: `[subjects, length]` int64.
        hours: `[subjects, length]` float32, as all that follows see `EventBatch`.
        ages: `[subjects, length]` float32.
        visits: `[subjects, length]` int64.
        sexes: `[subjects, length]` int64.
        is_real: `[subjects, length]` bool, False where a row is padded.
    """

    lengths: list[int]
    tokens: torch.Tensor
    hours: torch.Tensor
    ages: torch.Tensor
    visits: torch.Tensor
    sexes: torch.Tensor
    is_real: torch.Tensor

    @classmethod
    def of(cls, batch: EventBatch) -> "PaddedBatch":
        """The same sequences in the same order; a batch of none has no rows."""
        lengths = [end - begin for begin, end in pairwise(batch.boundaries)]
        longest = max(lengths, default=0)
        places = torch.arange(longest, device=batch.tokens.device)
        is_real = places < batch.cu_seqlens.diff()[:, None]
        features = {name: _padded(getattr(batch, name), is_real) for name in _FEATURES}
        return cls(lengths, **features, is_real=is_real)

    @property
    def num_subjects(self) -> int:
        """The number of rows."""
        return len(self.lengths)

    @property
    def num_tokens(self) -> int:
        """Tokens that the memory holds, padding included."""
        return self.tokens.numel()

    @property
    def has_padding(self) -> bool:
        """Whether some row is shorter than the longest."""
        return min(self.lengths, default=0) < self.tokens.shape[1]

    def cut(self, subjects: range) -> "PaddedBatch":
        """Some neighboring rows, only as long as the longest of them."""
        lengths = self.lengths[subjects.start : subjects.stop]
        longest = max(lengths, default=0)
        columns = (
            getattr(self, name)[subjects.start : subjects.stop, :longest] for name in _TENSORS
        )
        # Opacus' norms of an embedding view the indices as one column, which strides forbid.
        return PaddedBatch(lengths, *(column.contiguous() for column in columns))

    def to(self, device: torch.device) -> "PaddedBatch":
        """The same batch on `device`; a pinned one is copied while the processor goes on."""
        columns = (getattr(self, name).to(device, non_blocking=True) for name in _TENSORS)
        return PaddedBatch(self.lengths, *columns)

    def pinned(self) -> "PaddedBatch":
        """The same batch in page-locked memory, from which CUDA copies without waiting."""
        return PaddedBatch(self.lengths, *(getattr(self, name).pin_memory() for name in _TENSORS))


def _padded(flat: torch.Tensor, is_real: torch.Tensor) -> torch.Tensor:
    rows = flat.new_zeros(is_real.shape)
    rows[is_real] = flat
    return rows


_TENSORS = tuple(field.name for field in fields(PaddedBatch) if field.name != "lengths")


def rows_within(
    lengths: Sequence[int], token_budget: int | None, most_rows: int | None = None
) -> list[range]:
    """Ranges of rows, in order, each of at most `token_budget` tokens once it is padded.

    A row above the budget is a range of its own. Rows that are sorted by length waste least.

    Args:
        lengths: `[rows]`, in tokens.
        token_budget: in tokens, padding included; None: any number.
        most_rows: of a range; None: any number.

    Returns:
        No range where there are no rows.
    """
    found: list[range] = []
    first, longest = 0, 0
    for row, length in enumerate(lengths):
        padded = (row + 1 - first) * max(longest, length)
        is_full = token_budget is not None and padded > token_budget
        if row > first and (is_full or (most_rows is not None and row - first >= most_rows)):
            found.append(range(first, row))
            first, longest = row, 0
        longest = max(longest, length)
    if lengths:
        found.append(range(first, len(lengths)))
    return found
