"""`document_mask`: FlexAttention's mask, by which each query sees the keys of its own sequence."""

import torch
from torch.nn.attention.flex_attention import BlockMask

from fedehr_shared.model.attention.layout import SequenceLayout

BLOCK_SIZE = 128
"""Tokens. The kernels' own choice."""


def document_mask(queries: SequenceLayout, keys: SequenceLayout) -> BlockMask:
    """Which blocks of keys each block of queries sees: those of its own sequences.

    As `create_block_mask` finds from all pairs of tokens, but without making them: they would
    take 4 GB for a stream of 64 k tokens.
    """
    asking, asked = queries.owners, keys.owners

    def same_sequence(
        batch: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor
    ) -> torch.Tensor:
        return asking[query] == asked[key]

    seen, whole = _blocks_seen(queries, keys)
    num_partial, partial = _in_order(seen & ~whole)
    num_whole, full = _in_order(whole)
    return BlockMask.from_kv_blocks(
        num_partial,
        partial,
        num_whole,
        full,
        BLOCK_SIZE=BLOCK_SIZE,
        mask_mod=same_sequence,
        seq_lengths=(queries.num_tokens, keys.num_tokens),
    )


def _blocks_seen(
    asking: SequenceLayout, asked: SequenceLayout
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs of blocks that may hold a pair of one sequence, and those that hold no other.

    A block's sequences lie side by side, so that it sees one run of blocks.

    Shape: `[blocks of queries, blocks of keys]` twice.
    """
    begins, ends = _blocks(asking)
    first = asking.owners[begins]
    last = asking.owners[(ends - 1).clamp(max=asking.num_tokens - 1)]
    run_begins, run_ends = asked.cu_seqlens[first][:, None], asked.cu_seqlens[last + 1][:, None]
    of_one = ((first == last) & (ends <= asking.num_tokens))[:, None]
    begins, ends = _blocks(asked)
    seen = (begins < run_ends) & (ends > run_begins)
    return seen, of_one & (begins >= run_begins) & (ends <= run_ends)


def _blocks(layout: SequenceLayout) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each block begins, and where it would end if it were full. `[blocks]` twice."""
    begins = torch.arange(0, layout.num_tokens, BLOCK_SIZE, device=layout.cu_seqlens.device)
    return begins, begins + BLOCK_SIZE


def _in_order(blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How many are true in each row, and their columns, rising, before all others.

    Shape: `[blocks, blocks]` to `[1, 1, blocks]` and `[1, 1, blocks, blocks]`, int32.
    """
    columns = torch.argsort(blocks.to(torch.int8), dim=-1, descending=True, stable=True)
    counts = blocks.sum(dim=-1, dtype=torch.int32)
    return counts[None, None], columns.to(torch.int32)[None, None]
