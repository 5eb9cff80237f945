"""`AttentionLayout`: who asks and who is asked."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch.nn.attention.flex_attention import BlockMask

from fedehr_shared.model.attention.document_mask import document_mask
from fedehr_shared.model.attention.layout import SequenceLayout

if TYPE_CHECKING:
    from fedehr_shared.model.attention.backends import AttentionBackend


@dataclass(frozen=True, eq=False)
class AttentionLayout:
    """Each query sees the keys of its own sequence.

    Attributes:
        queries: the tokens that ask: all of the stream, or those of some places.
        keys: all tokens of the same sequences.
    """

    queries: SequenceLayout
    keys: SequenceLayout

    def attend(
        self,
        backend: "AttentionBackend",
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
    ) -> torch.Tensor:
        """Mixed values. `[queries, heads, head_size]` and twice `[keys, heads, head_size]` to the
        first's shape."""
        return backend(query, key, value, self)

    def make_block_mask(self) -> None:
        """Make `block_mask` now, lest a compiled layer trace its making."""
        if self.queries.num_tokens:
            _ = self.block_mask

    @cached_property
    def block_mask(self) -> BlockMask:
        """Which blocks of queries see which blocks of keys, for FlexAttention."""
        return document_mask(self.queries, self.keys)
