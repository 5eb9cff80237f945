"""FlexAttention with a document mask, compiled: for CUDA where `varlen` cannot be used."""

from functools import cache
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from fedehr_shared.model.attention.layout import SequenceLayout


def attend_flex(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: SequenceLayout
) -> torch.Tensor:
    """Mixed values. `[tokens, heads, head_size]` three times to the same."""
    query, key, value = (x.transpose(0, 1)[None] for x in (query, key, value))
    mixed: torch.Tensor = _compiled()(query, key, value, block_mask=document_mask(layout))
    return mixed[0].transpose(0, 1)


def document_mask(layout: SequenceLayout) -> BlockMask:
    """Which blocks of keys each block of queries may see: those of its own sequences."""
    owners = layout.owners

    def same_sequence(
        batch: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor
    ) -> torch.Tensor:
        return owners[query] == owners[key]

    return create_block_mask(
        same_sequence, None, None, layout.num_tokens, layout.num_tokens, device=owners.device
    )


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=True)
