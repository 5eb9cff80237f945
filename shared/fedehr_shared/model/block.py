"""`EncoderBlock`: one pre-norm layer, attention then SwiGLU."""

import torch
from torch import nn
from torch.nn import functional

from fedehr_shared.model.attention.attention_layout import AttentionLayout
from fedehr_shared.model.attention.backends import AttentionBackend, attention_backend
from fedehr_shared.model.rotary import rotate


class EncoderBlock(nn.Module):
    """A layer over a flat stream.

    - RMSNorm before each part (Zhang and Sennrich 2019), SwiGLU (Shazeer 2020), no biases
    - q, k, v and o are plain `nn.Linear`, so that per-sample gradients and LoRA apply

    Attributes:
        attention: how attention is computed; see `set_attention`.
    """

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        inner = 8 * ((hidden * 8 // 3 + 7) // 8)
        self.num_heads = heads
        self.attention: AttentionBackend = attention_backend("sdpa")
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
        self,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        layout: AttentionLayout,
        index: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """One layer. `[tokens, hidden]` to the same, or to `[places, hidden]`.

        Args:
            x: the stream.
            cos: `[tokens, 1, head_size / 2]`, with `sin` the turns of `rotary_angles`.
            sin: as `cos`.
            layout: who asks and who is asked.
            index: `[places]` int64, the tokens that ask, whose encodings alone are wanted: all
                tokens are seen by them, and nothing else is computed. None: all.
        """
        normed = self.attention_norm(x)
        key, value = self._in_heads(self.k(normed)), self._in_heads(self.v(normed))
        key = rotate(key, cos, sin)
        if index is not None:
            x, normed, cos, sin = (part.index_select(0, index) for part in (x, normed, cos, sin))
        query = rotate(self._in_heads(self.q(normed)), cos, sin)
        mixed = self.attention(query, key, value, layout)
        x = x + self.o(mixed.flatten(-2))
        normed = self.feed_norm(x)
        out: torch.Tensor = x + self.down(functional.silu(self.gate(normed)) * self.up(normed))
        return out

    def _in_heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(-1, self.num_heads, x.shape[1] // self.num_heads)
