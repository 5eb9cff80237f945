"""`EncoderBlock`: one pre-norm layer, attention then SwiGLU."""

import torch
from torch import nn
from torch.nn import functional

from fedehr_shared.model.attention.attention_layout import AttentionLayout
from fedehr_shared.model.attention.backends import AttentionBackend, attention_backend
from fedehr_shared.model.attention.row_layout import RowLayout
from fedehr_shared.model.rotary import rotate


class EncoderBlock(nn.Module):
    """A layer over a flat stream, or over padded rows of one subject each.

    - RMSNorm before each part (Zhang and Sennrich 2019), SwiGLU (Shazeer 2020), no biases
    - q, k, v and o are plain `nn.Linear`, so that per-sample gradients and LoRA apply;
      of padded rows each of them sees `[subjects, length, ...]`

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
        layout: AttentionLayout | RowLayout,
        index: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """One layer. `[tokens, hidden]` to the same, or to `[places, hidden]`; or, of rows,
        `[subjects, length, hidden]` to the same, or to `[subjects, places, hidden]`.

        Args:
            x: the stream, or the rows.
            cos: `[..., 1, head_size / 2]`, with `sin` the turns of `rotary_angles`.
            sin: as `cos`.
            layout: who asks and who is asked.
            index: `[places]` or `[subjects, places]` int64, the tokens that ask, whose encodings
                alone are wanted: all tokens are seen by them, and nothing else is computed.
                None: all.
        """
        normed = self.attention_norm(x)
        key, value = self._in_heads(self.k(normed)), self._in_heads(self.v(normed))
        key = rotate(key, cos, sin)
        if index is not None:
            x, normed, cos, sin = (_taken(part, index) for part in (x, normed, cos, sin))
        query = rotate(self._in_heads(self.q(normed)), cos, sin)
        mixed = layout.attend(self.attention, query, key, value)
        x = x + self.o(mixed.flatten(-2))
        normed = self.feed_norm(x)
        out: torch.Tensor = x + self.down(functional.silu(self.gate(normed)) * self.up(normed))
        return out

    def _in_heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(*x.shape[:-1], self.num_heads, x.shape[-1] // self.num_heads)


def _taken(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """`[tokens, ...]` at `[places]`, or `[subjects, length, ...]` at `[subjects, places]`."""
    if index.dim() == 1:
        return x.index_select(0, index)
    num_subjects, length = x.shape[:2]
    begins = torch.arange(num_subjects, device=index.device)[:, None] * length
    taken = x.flatten(0, 1).index_select(0, (begins + index).flatten())
    return taken.view(*index.shape, *x.shape[2:])
