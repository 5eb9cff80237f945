"""FlashAttention over sequences of any lengths (`torch.nn.attention.varlen`), on CUDA.

It takes the flat stream as it is: no padding and no mask. Its kernels know fp16 and bf16 only.
"""

import torch
from torch.nn.attention.varlen import varlen_attn

from fedehr_shared.model.attention.layout import SequenceLayout


def attend_varlen(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: SequenceLayout
) -> torch.Tensor:
    """Mixed values. `[tokens, heads, head_size]` three times to the same.

    One split of the keys: a sequence's bits must not depend on the longest of its batch.
    """
    places, length = layout.cu_seqlens, layout.max_length
    mixed = varlen_attn(query, key, value, places, places, length, length, num_splits=1)
    assert isinstance(mixed, torch.Tensor)
    return mixed
