"""Scaled dot-product attention one sequence at a time, without padding or mask.

The choice on a CPU, where a call costs little beside its arithmetic. Sequences of near-equal
lengths together in padded groups were slower: the copies cost more than the calls they save.
"""

from itertools import pairwise

import torch
from torch.nn import functional

from fedehr_shared.model.attention.layout import SequenceLayout


def attend_per_subject(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: SequenceLayout
) -> torch.Tensor:
    """Mixed values. `[tokens, heads, head_size]` three times to the same."""
    # split, not slices: the gradient of a slice is as long as the whole stream.
    lengths = [end - begin for begin, end in pairwise(layout.boundaries)]
    mixed = [
        functional.scaled_dot_product_attention(*(x.transpose(0, 1)[None] for x in sequence))
        for sequence in zip(*(torch.split(x, lengths) for x in (query, key, value)), strict=True)
    ]
    return torch.cat([sequence[0].transpose(0, 1) for sequence in mixed])
