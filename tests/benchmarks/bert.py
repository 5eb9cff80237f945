"""What one would take instead: transformers' `BertForMaskedLM` on the same masked batches, padded.

As near to ours as it can be made: as many layers, heads, and the same width and vocabulary; an
inner width of four times the hidden one, which makes about as many parameters a layer as our
SwiGLU's (12 d^2 beside 12.06). What differs: its inputs (ours has time, age, sex and stay for
its learned positions), biases and LayerNorm, and a dense layer before its output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.tokens.masking import MaskedBatch

if TYPE_CHECKING:
    from transformers import BertForMaskedLM

IGNORED = -100


@dataclass(frozen=True)
class PaddedBatch:
    """Rows of one width, as a Hugging Face collator makes them.

    Attributes:
        input_ids: `[sequences, width]` int64.
        attention_mask: `[sequences, width]` int64, 1 where there is a token.
        labels: `[sequences, width]` int64, `IGNORED` where nothing is hidden.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def of(cls, masked: MaskedBatch, width: int | None) -> PaddedBatch:
        """The batch padded to `width` tokens, or to its longest sequence (None)."""
        targets = torch.full_like(masked.batch.tokens, IGNORED)
        targets[masked.positions] = masked.targets
        lengths = masked.batch.cu_seqlens.diff().tolist()
        columns = (
            (masked.batch.tokens, 0), (torch.ones_like(targets), 0), (targets, IGNORED)
        )  # fmt: skip
        return cls(*(_padded(column, lengths, fill, width) for column, fill in columns))

    def to(self, device: torch.device) -> PaddedBatch:
        """The same batch on `device`."""
        return PaddedBatch(*(getattr(self, name).to(device) for name in self.__annotations__))

    def dense_loss(self, bert: BertForMaskedLM) -> torch.Tensor:
        """The loss as the model makes it: logits at every place. A scalar."""
        loss: torch.Tensor = bert(
            input_ids=self.input_ids, attention_mask=self.attention_mask, labels=self.labels
        ).loss
        return loss

    def sparse_loss(self, bert: BertForMaskedLM) -> torch.Tensor:
        """The same loss with logits at the hidden places alone. A scalar."""
        encoded = bert.bert(self.input_ids, attention_mask=self.attention_mask)[0]
        hidden = self.labels != IGNORED
        return functional.cross_entropy(bert.cls(encoded[hidden]), self.labels[hidden])


def make_bert(size: ModelConfig, num_tokens: int, context: int, dropout: float) -> BertForMaskedLM:
    """A new model with SDPA attention, in training mode."""
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=num_tokens,
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=4 * size.hidden,
        max_position_embeddings=context,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        attn_implementation="sdpa",
    )
    return BertForMaskedLM(config).train()


def _padded(column: torch.Tensor, lengths: list[int], fill: int, width: int | None) -> torch.Tensor:
    """A stream's column as rows. `[tokens]` to `[sequences, width]`."""
    rows = pad_sequence(list(torch.split(column, lengths)), True, fill)
    missing = 0 if width is None else width - rows.shape[1]
    return functional.pad(rows, (0, missing), value=fill)
