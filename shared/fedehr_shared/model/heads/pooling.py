"""Pooling: from the encodings of a sequence's tokens to one vector a sequence."""

import torch
from torch import nn

from fedehr_shared.model.full_precision import full_precision

_SUM_SCALE = 1.0 / 16.0


def pool(encoded: torch.Tensor, cu_seqlens: torch.Tensor, how: str) -> torch.Tensor:
    """One vector a sequence: the mean of its tokens, or their sum scaled by 1/16.

    Shape: `[tokens, hidden]` to `[sequences, hidden]`.
    """
    lengths = cu_seqlens.diff()
    owner = sequence_of_token(cu_seqlens, encoded.shape[0])
    summed = encoded.new_zeros(lengths.numel(), encoded.shape[1]).index_add(0, owner, encoded)
    return summed * _SUM_SCALE if how == "sum" else summed / lengths[:, None]


def pool_rows(encoded: torch.Tensor, is_real: torch.Tensor, how: str) -> torch.Tensor:
    """`pool` of padded rows: what pads them counts nothing.

    Args:
        encoded: `[subjects, length, hidden]`.
        is_real: `[subjects, length]`, False where a row is padded.
        how: as in `pool`.

    Shape: `[subjects, hidden]`.
    """
    summed = (encoded * is_real[:, :, None]).sum(dim=1)
    return summed * _SUM_SCALE if how == "sum" else summed / is_real.sum(dim=1)[:, None]


class AttentionPooling(nn.Module):
    """A weighted mean: a learnt query, one for all heads, says how much a token counts
    (Yang et al. 2016, with the encodings themselves as keys).

    A query of zeros makes it the plain mean, from which fine-tuning starts.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden, 1, bias=False)

    def forward(self, encoded: torch.Tensor, cu_seqlens: torch.Tensor) -> torch.Tensor:
        """Pool in full precision. Shape: `[tokens, hidden]` to `[sequences, hidden]`."""
        num_tokens, hidden = encoded.shape
        owner = sequence_of_token(cu_seqlens, num_tokens)
        empty = encoded.new_zeros(cu_seqlens.numel() - 1)
        with full_precision(encoded.device):
            scores = self.query(encoded).squeeze(1)
            # Less each sequence's highest score: none of its terms overflows.
            highest = torch.full_like(empty, -torch.inf)
            highest = highest.scatter_reduce(0, owner, scores.detach(), "amax")
            terms = torch.exp(scores - highest[owner])
            shares = terms / empty.index_add(0, owner, terms)[owner]
            sums = encoded.new_zeros(empty.numel(), hidden)
            return sums.index_add(0, owner, encoded * shares[:, None])

    def of_rows(self, encoded: torch.Tensor, is_real: torch.Tensor) -> torch.Tensor:
        """The same of padded rows. `[subjects, length, hidden]`, with `is_real` as `pool_rows`
        has it, to `[subjects, hidden]`."""
        with full_precision(encoded.device):
            scores = self.query(encoded).squeeze(2).masked_fill(~is_real, -torch.inf)
            shares: torch.Tensor = torch.softmax(scores, dim=1)
            return (encoded * shares[:, :, None]).sum(dim=1)


def sequence_of_token(cu_seqlens: torch.Tensor, num_tokens: int) -> torch.Tensor:
    """The number of the sequence that each token belongs to. Shape: `[tokens]` int64."""
    lengths = cu_seqlens.diff()
    numbers = torch.arange(lengths.numel(), device=lengths.device)
    # Told the length, torch need not wait for a device to count it.
    return torch.repeat_interleave(numbers, lengths, output_size=num_tokens)
