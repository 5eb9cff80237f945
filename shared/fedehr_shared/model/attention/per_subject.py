"""Scaled dot-product attention one sequence at a time, without padding or mask.

The choice on a CPU, where a call costs little beside its arithmetic.
"""

from itertools import pairwise

import torch
from torch.nn import functional

from fedehr_shared.model.attention.layout import SequenceLayout


@torch.compiler.disable  # type: ignore[untyped-decorator]
def attend_per_subject(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: SequenceLayout
) -> torch.Tensor:
    """Mixed values. `[tokens, heads, head_size]` three times to the same."""
    query, key, value = (x.transpose(0, 1) for x in (query, key, value))
    pieces = [
        functional.scaled_dot_product_attention(
            query[None, :, begin:end], key[None, :, begin:end], value[None, :, begin:end]
        )[0]
        for begin, end in pairwise(layout.boundaries)
    ]
    return torch.cat(pieces, dim=1).transpose(0, 1)
