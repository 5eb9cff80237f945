"""`EventEncoder`: a transformer over a flat stream of medical events."""

import torch
from torch import nn

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.model.stack import BlockStack
from fedehr_shared.tokens.batch import MAX_VISITS, NUM_SEXES, EventBatch
from fedehr_shared.tokens.padded_batch import PaddedBatch
from fedehr_shared.tokens.padded_masking import RowPlaces
from fedehr_shared.tokens.places import Places


class EventEncoder(nn.Module):
    """Encodes each event in the light of its sequence.

    An event is its fused code-value embedding, plus age, sex and the ordinal of the hospital
    stay. Positions are turns by elapsed time, not by index.
    """

    def __init__(self, config: ModelConfig, num_tokens: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(num_tokens, config.hidden)
        self.visit_embedding = nn.Embedding(MAX_VISITS, config.hidden)
        self.sex_embedding = nn.Embedding(NUM_SEXES, config.hidden)
        self.age_projection = nn.Linear(1, config.hidden, bias=False)
        self.blocks = BlockStack(config.layers, config.hidden, config.heads)
        self.norm = nn.RMSNorm(config.hidden, eps=1e-6)

    def forward(
        self, batch: EventBatch | PaddedBatch, places: Places | RowPlaces | None = None
    ) -> torch.Tensor:
        """Encode a batch.

        Args:
            batch: the stream, or rows of one subject each: the encodings are the same.
            places: of the same batch, the tokens whose encodings are wanted; None: all. The last
                layer computes them alone: a step of masked events then saves the greater part of
                a layer.

        Shape: `[tokens, hidden]`, or `[places, hidden]`; of rows `[subjects, length, hidden]`, or
        `[subjects, places, hidden]`.
        """
        return self.encode(self.token_embedding(batch.tokens), batch, places)

    def encode(
        self,
        events: torch.Tensor,
        batch: EventBatch | PaddedBatch,
        places: Places | RowPlaces | None = None,
    ) -> torch.Tensor:
        """As `forward`, for who wants the embeddings too: looked up twice, their gradients of
        single subjects would be of two calls.

        Args:
            events: `token_embedding` of the batch's tokens.
            batch: see `forward`.
            places: see `forward`.
        """
        x = events + self.age_projection(batch.ages[..., None])
        x = x + self.visit_embedding(batch.visits) + self.sex_embedding(batch.sexes)
        normed: torch.Tensor = self.norm(self.blocks(x, batch.hours, batch, places))
        return normed
