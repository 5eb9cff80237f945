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

from fedehr_shared.model.attention.layout import SequenceLayout


def attend_varlen(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: SequenceLayout
) -> torch.Tensor:
    """Mixed values. `[tokens, heads, head_size]` three times to the same."""
    places, length = layout.cu_seqlens, layout.max_length
    mixed = varlen_attn(query, key, value, places, places, length, length)
    assert isinstance(mixed, torch.Tensor)
    return mixed
