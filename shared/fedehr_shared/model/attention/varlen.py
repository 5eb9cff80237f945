"""FlashAttention over sequences of any lengths (`torch.nn.attention.varlen`), on CUDA.

It takes the flat stream as it is: no padding and no mask. Its kernels know fp16 and bf16 alone,
and heads of a multiple of 8 up to 256. With as many heads of keys as of queries they never
split the keys, so that a sequence's bits do not depend on the others of its batch. Gradients
are added up in any order, and so differ in their last bits from run to run, unless
`torch.use_deterministic_algorithms` is on.

Tested in tests/gpu.
"""

import torch
from torch.nn.attention.varlen import varlen_attn

from fedehr_shared.model.attention.attention_layout import AttentionLayout


def attend_varlen(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: AttentionLayout
) -> torch.Tensor:
    """Mixed values. `[queries, heads, head_size]` and twice `[keys, heads, head_size]` to the
    first's shape."""
    asking, asked = layout.queries, layout.keys
    if not query.shape[0]:
        return query
    mixed = varlen_attn(
        query,
        key,
        value,
        asking.cu_seqlens,
        asked.cu_seqlens,
        asking.max_length,
        asked.max_length,
    )
    assert isinstance(mixed, torch.Tensor)
    return mixed
