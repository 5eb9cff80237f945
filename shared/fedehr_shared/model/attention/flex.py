"""FlexAttention with a document mask, compiled: for CUDA where `varlen` cannot be used.

It computes in any precision, and only in the blocks of the stream that hold queries and keys
of one sequence. It has no backward pass on a CPU. Tested in tests/gpu.
"""

from functools import cache
from typing import Any

import torch
from torch.nn.attention.flex_attention import flex_attention

from fedehr_shared.model.attention.attention_layout import AttentionLayout


def attend_flex(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: AttentionLayout
) -> torch.Tensor:
    """Mixed values. `[queries, heads, head_size]` and twice `[keys, heads, head_size]` to the
    first's shape."""
    if not query.shape[0]:
        return query
    query, key, value = (x.transpose(0, 1)[None] for x in (query, key, value))
    function = flex_attention if torch.compiler.is_compiling() else _compiled()
    mixed: torch.Tensor = function(query, key, value, block_mask=layout.block_mask)
    return mixed[0].transpose(0, 1)


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=True)
