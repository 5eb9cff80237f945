"""Attention over a flat stream: every sequence sees itself and nothing else."""

from itertools import pairwise

import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, cu_seqlens: list[int]
) -> torch.Tensor:
    """Scaled dot-product attention, one sequence at a time, without padding or mask.

    Shape:
        query, key, value `[tokens, heads, head_size]` to the same; `cu_seqlens`
        `[sequences + 1]`, where each sequence begins.
    """
    query, key, value = (x.transpose(0, 1) for x in (query, key, value))
    pieces = [
        functional.scaled_dot_product_attention(
            query[None, :, begin:end], key[None, :, begin:end], value[None, :, begin:end]
        )[0]
        for begin, end in pairwise(cu_seqlens)
    ]
    return torch.cat(pieces, dim=1).transpose(0, 1)


def attend_padded(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, cu_seqlens: list[int]
) -> torch.Tensor:
    """The same by padded rows and a mask: the reference that `attend` is tested against.

    Shape: as `attend`.
    """
    lengths = [e - b for b, e in pairwise(cu_seqlens)]
    query, key, value = (
        pad_sequence(list(torch.split(x, lengths)), batch_first=True).transpose(1, 2)
        for x in (query, key, value)
    )
    places = torch.arange(max(lengths), device=query.device)
    real = places[None, :] < torch.tensor(lengths, device=query.device)[:, None]
    mixed = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=real[:, None, None, :]
    )
    return mixed.transpose(1, 2)[real]
