"""`Shortcut`: what reaches the heads past the encoder's layers."""

import torch
from torch import nn
from torch.nn import functional

from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.padded_batch import PaddedBatch

_SHARE = 4.0
"""Of the embeddings beside the encodings, whose deviation over subjects it brings them near to."""
_MIDDLE, _SPREAD = 0.5, 0.1
"""Of the ages, in centuries."""


class Shortcut(nn.Module):
    """The tokens' embeddings, added to their encodings, and the age, as one more number.

    Layers that learnt to foretell events need not keep either. Pooled, the embeddings are a bag
    of tokens in which those that occur in like company are alike; it costs no number of a head,
    and is there where the layers are frozen. The age is foretold by no event.
    """

    num_inputs = 1
    """What it adds to the width of the heads."""

    def forward(self, encoded: torch.Tensor, events: torch.Tensor) -> torch.Tensor:
        """Encodings with the embeddings, these alike in length: a rare token has a short one.

        Args:
            encoded: `[..., hidden]`.
            events: `[..., hidden]`, the embeddings of the same tokens.

        Shape: `[..., hidden]`.
        """
        return encoded + _SHARE * functional.rms_norm(events, events.shape[-1:], eps=1e-6)

    def ages(self, batch: EventBatch | PaddedBatch) -> torch.Tensor:
        """In decades from fifty, at each sequence's last event; 0 where unknown.

        Shape: `[sequences, 1]`.
        """
        if isinstance(batch, PaddedBatch):
            last = batch.ages.gather(1, batch.is_real.sum(dim=1, keepdim=True) - 1)
        else:
            last = batch.ages[batch.cu_seqlens[1:] - 1][:, None]
        return torch.where(last > 0, (last - _MIDDLE) / _SPREAD, 0.0)
