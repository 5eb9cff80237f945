"""`TokenPresence`: the wide part of a head."""

import torch
from torch import nn

from fedehr_shared.model.heads.pooling import sequence_of_token
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.padded_batch import PaddedBatch


class TokenPresence(nn.Module):
    """A linear term over which tokens a sequence holds: the wide part of "wide and deep"
    (Cheng et al. 2016). With few labels it carries what single codes say, and the encoder
    what they mean together."""

    def __init__(self, num_tokens: int, num_outputs: int) -> None:
        super().__init__()
        self.terms = nn.Embedding(num_tokens, num_outputs)

    def forward(self, batch: EventBatch) -> torch.Tensor:
        """Each sequence's sum over its distinct tokens. Shape: `[sequences, outputs]`."""
        num_tokens, num_outputs = self.terms.weight.shape
        owner = sequence_of_token(batch.cu_seqlens, batch.boundaries[-1])
        held, _ = torch.sort(owner * num_tokens + batch.tokens)
        # Every one but the first of its kind counts nothing: their number would have to be
        # waited for on a device, and differs between the subjects of per-sample gradients.
        is_first = torch.cat([torch.ones_like(held[:1]), (held[1:] != held[:-1]).long()])
        terms: torch.Tensor = self.terms(held % num_tokens) * is_first[:, None]
        empty = terms.new_zeros(batch.num_sequences, num_outputs)
        summed: torch.Tensor = empty.index_add(0, held // num_tokens, terms)
        return summed

    def of_rows(self, batch: PaddedBatch) -> torch.Tensor:
        """The same of padded rows. Shape: `[subjects, outputs]`."""
        past_all = self.terms.num_embeddings
        held, _ = torch.sort(batch.tokens.masked_fill(~batch.is_real, past_all), dim=1)
        is_new = torch.ones_like(held, dtype=torch.bool)
        is_new[:, 1:] = held[:, 1:] != held[:, :-1]
        is_first = is_new & (held < past_all)
        terms: torch.Tensor = self.terms(held.clamp(max=past_all - 1)) * is_first[:, :, None]
        return terms.sum(dim=1)
