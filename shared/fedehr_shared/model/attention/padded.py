"""Scaled dot-product attention over padded rows, with a mask.

The reference that the other backends are tested against, and one row a subject for
per-sample gradients.
"""

import torch
from torch.nn import functional

from fedehr_shared.model.attention.attention_layout import AttentionLayout
from fedehr_shared.model.attention.layout import SequenceLayout


def attend_padded(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: AttentionLayout
) -> torch.Tensor:
    """Mixed values. `[queries, heads, head_size]` and twice `[keys, heads, head_size]` to the
    first's shape."""
    asking, asked = layout.queries, layout.keys
    if not query.shape[0]:
        return query
    query, key, value = _pad(query, asking), _pad(key, asked), _pad(value, asked)
    lengths = asked.cu_seqlens.diff()
    real = torch.arange(asked.max_length, device=lengths.device) < lengths[:, None]
    mixed = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=real[:, None, None, :]
    )
    return mixed.transpose(1, 2).flatten(0, 1).index_select(0, asking.places)


def _pad(x: torch.Tensor, layout: SequenceLayout) -> torch.Tensor:
    """`[tokens, heads, head_size]` to `[sequences, heads, max_length, head_size]`."""
    rows = x.new_zeros(layout.num_sequences * layout.max_length, *x.shape[1:])
    rows = rows.index_copy(0, layout.places, x)
    return rows.view(layout.num_sequences, layout.max_length, *x.shape[1:]).transpose(1, 2)
