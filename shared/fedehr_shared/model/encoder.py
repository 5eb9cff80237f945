"""`EventEncoder`: a transformer over a flat stream of medical events.

- fused code-value embeddings, plus age and the ordinal of the hospital stay
- rotary positions on elapsed time, not on index
- pre-norm RMSNorm (Zhang and Sennrich 2019), SwiGLU (Shazeer 2020), no biases
- q, k, v and o are plain `nn.Linear`, so that per-sample gradients and LoRA apply
"""

import torch
from torch import nn
from torch.nn import functional

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.model.attention import attend
from fedehr_shared.model.rotary import rotary_angles, rotate
from fedehr_shared.tokens.batch import MAX_VISITS, EventBatch


class EventEncoder(nn.Module):
    """Encodes each event in the light of its sequence."""

    def __init__(self, config: ModelConfig, num_tokens: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(num_tokens, config.hidden)
        self.visit_embedding = nn.Embedding(MAX_VISITS, config.hidden)
        self.age_projection = nn.Linear(1, config.hidden, bias=False)
        self.blocks = nn.ModuleList(EncoderBlock(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.hidden, eps=1e-6)
        self._head_size = config.hidden // config.heads

    def forward(self, batch: EventBatch) -> torch.Tensor:
        """Encode a batch.

        Shape: `[tokens, hidden]`.
        """
        x = self.token_embedding(batch.tokens)
        x = x + self.visit_embedding(batch.visits) + self.age_projection(batch.ages[:, None])
        cos, sin = rotary_angles(batch.hours, self._head_size)
        for block in self.blocks:
            x = block(x, cos, sin, batch.boundaries)
        normed: torch.Tensor = self.norm(x)
        return normed


class EncoderBlock(nn.Module):
    """One pre-norm layer: attention, then SwiGLU."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden = config.hidden
        inner = 8 * ((hidden * 8 // 3 + 7) // 8)
        self._num_heads = config.heads
        self.attention_norm = nn.RMSNorm(hidden, eps=1e-6)
        self.q = nn.Linear(hidden, hidden, bias=False)
        self.k = nn.Linear(hidden, hidden, bias=False)
        self.v = nn.Linear(hidden, hidden, bias=False)
        self.o = nn.Linear(hidden, hidden, bias=False)
        self.feed_norm = nn.RMSNorm(hidden, eps=1e-6)
        self.gate = nn.Linear(hidden, inner, bias=False)
        self.up = nn.Linear(hidden, inner, bias=False)
        self.down = nn.Linear(inner, hidden, bias=False)

    def forward(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, cu_seqlens: list[int]
    ) -> torch.Tensor:
        """One layer. `[tokens, hidden]` to the same."""
        normed = self.attention_norm(x)
        query, key, value = (
            projection(normed).unflatten(-1, (self._num_heads, -1))
            for projection in (self.q, self.k, self.v)
        )
        mixed = attend(rotate(query, cos, sin), rotate(key, cos, sin), value, cu_seqlens)
        x = x + self.o(mixed.flatten(-2))
        normed = self.feed_norm(x)
        out: torch.Tensor = x + self.down(functional.silu(self.gate(normed)) * self.up(normed))
        return out
