"""Scaled dot-product attention one sequence at a time, without padding or mask.

The choice on a CPU, where a call costs little beside its arithmetic. Sequences of near-equal
lengths together in padded groups were slower: the copies cost more than the calls they save.
"""

import torch
from torch.nn import functional

from fedehr_shared.model.attention.attention_layout import AttentionLayout


def attend_per_subject(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: AttentionLayout
) -> torch.Tensor:
    """Mixed values. `[queries, heads, head_size]` and twice `[keys, heads, head_size]` to the
    first's shape."""
    # split, not slices: the gradient of a slice is as long as the whole stream.
    asking, asked = layout.queries.lengths, layout.keys.lengths
    pieces = zip(
        torch.split(query, asking), torch.split(key, asked), torch.split(value, asked), strict=True
    )
    mixed = [_attend(*piece) for piece in pieces if piece[0].shape[0]]
    return torch.cat(mixed) if mixed else query


def _attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """One sequence's. The shapes are those of `attend_per_subject`."""
    query, key, value = (x.transpose(0, 1)[None] for x in (query, key, value))
    mixed = functional.scaled_dot_product_attention(query, key, value)
    return mixed[0].transpose(0, 1)
