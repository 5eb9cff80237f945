"""`RowLayout`: who is asked where each subject has a padded row of its own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from fedehr_shared.tokens.padded_batch import PaddedBatch

if TYPE_CHECKING:
    from fedehr_shared.model.attention.backends import AttentionBackend


@dataclass(frozen=True, eq=False)
class RowLayout:
    """Each query sees the real keys of its own row.

    Attributes:
        is_seen: `[subjects, 1, 1, length]` bool, the keys that are no padding; None: all.
    """

    is_seen: torch.Tensor | None

    @classmethod
    def of(cls, batch: PaddedBatch) -> "RowLayout":
        """The layout of a batch, on its device."""
        return cls(batch.is_real[:, None, None, :] if batch.has_padding else None)

    def attend(
        self,
        backend: "AttentionBackend",
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
    ) -> torch.Tensor:
        """Mixed values, by torch's own choice of kernel: the backends are for flat streams.

        A query that pads a row mixes real values too; nobody reads it.

        Shape: `[subjects, queries, heads, head_size]` and twice `[subjects, length, heads,
        head_size]` to the first's.
        """
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=self.is_seen)
        return mixed.transpose(1, 2)
