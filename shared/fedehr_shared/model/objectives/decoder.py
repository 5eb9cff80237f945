"""`EventDecoder`: half the encoder's width, from visible encodings to all positions."""

import torch
from torch import nn

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.model.stack import BlockStack
from fedehr_shared.tokens.batch import MAX_VISITS, NUM_SEXES
from fedehr_shared.tokens.visible import VisibleBatch


class EventDecoder(nn.Module):
    """Puts a learnt vector in each hidden place and lets all positions see each other.

    Every position is told its time, age, visit and sex, as in the encoder, in features of the
    decoder's own. Heads are as wide as the encoder's where that comes out even.
    """

    def __init__(self, model: ModelConfig, layers: int) -> None:
        super().__init__()
        width = decoder_width(model)
        self.inward = nn.Linear(model.hidden, width, bias=False)
        self.mask_embedding = nn.Embedding(1, width)
        self.visit_embedding = nn.Embedding(MAX_VISITS, width)
        self.sex_embedding = nn.Embedding(NUM_SEXES, width)
        self.age_projection = nn.Linear(1, width, bias=False)
        self.blocks = BlockStack(layers, width, decoder_heads(model))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.outward = nn.Linear(width, model.hidden, bias=False)

    def forward(self, encoded: torch.Tensor, piece: VisibleBatch) -> torch.Tensor:
        """Decode the hidden positions.

        Args:
            encoded: `[visible, hidden]`, the encodings of `piece.batch`.
            piece: what was visible, and where.

        Shape: `[masked, hidden]`.
        """
        whole = piece.masked.batch
        mask = self.mask_embedding.weight
        inward = self.inward(encoded).to(mask.dtype)
        x = mask.expand(whole.tokens.numel(), -1).index_copy(0, piece.places, inward)
        x = x + self.age_projection(whole.ages[:, None])
        x = x + self.visit_embedding(whole.visits) + self.sex_embedding(whole.sexes)
        x = self.blocks(x, whole.hours, whole, piece.masked.hidden)
        decoded: torch.Tensor = self.outward(self.norm(x))
        return decoded


def decoder_width(model: ModelConfig) -> int:
    """Half the encoder's width, rounded up to an even number."""
    return 2 * -(-model.hidden // 4)


def decoder_heads(model: ModelConfig) -> int:
    """The most heads, up to half the encoder's, that divide the decoder's width evenly."""
    width = decoder_width(model)
    return max(h for h in range(1, max(1, model.heads // 2) + 1) if width % (2 * h) == 0)
