"""`AttentionLayout`: who asks and who is asked."""

from dataclasses import dataclass
from functools import cached_property

from torch.nn.attention.flex_attention import BlockMask

from fedehr_shared.model.attention.document_mask import document_mask
from fedehr_shared.model.attention.layout import SequenceLayout


@dataclass(frozen=True, eq=False)
class AttentionLayout:
    """Each query sees the keys of its own sequence.

    Attributes:
        queries: the tokens that ask: all of the stream, or those of some places.
        keys: all tokens of the same sequences.
    """

    queries: SequenceLayout
    keys: SequenceLayout

    @cached_property
    def block_mask(self) -> BlockMask:
        """Which blocks of queries see which blocks of keys, for FlexAttention."""
        return document_mask(self.queries, self.keys)
