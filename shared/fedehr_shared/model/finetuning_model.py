"""`FinetuningModel`: the encoder, pooled to one vector a sequence, with one head a task."""

import torch
from torch import nn
from torch.nn import functional

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.full_precision import full_precision
from fedehr_shared.model.heads.pooling import AttentionPooling, pool, pool_rows
from fedehr_shared.model.heads.shortcut import Shortcut
from fedehr_shared.model.heads.token_presence import TokenPresence
from fedehr_shared.model.heads.uncertainty import TaskUncertainty
from fedehr_shared.model.lora.adapters import add_adapters
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.padded_batch import PaddedBatch

__all__ = ["FinetuningModel", "pool"]


class FinetuningModel(nn.Module):
    """Outcomes from a subject's sequence; heads are ordered as the study's tasks."""

    def __init__(self, study: StudyConfig, num_tokens: int) -> None:
        super().__init__()
        model, tuning = study.model, study.finetuning
        outputs = [task.num_outputs for task in study.task_configs]
        self.encoder = EventEncoder(model, num_tokens)
        if tuning.tuning == "lora":
            add_adapters(self.encoder, study.lora, study.seed)
        self.pooling = AttentionPooling(model.hidden) if model.pooling == "attention" else None
        self.shortcut = Shortcut() if tuning.shortcut else None
        num_inputs = model.hidden + (Shortcut.num_inputs if tuning.shortcut else 0)
        self.heads = nn.ModuleList(nn.Linear(num_inputs, num) for num in outputs)
        self.wide = TokenPresence(num_tokens, sum(outputs)) if tuning.wide else None
        learns_weights = study.loss.task_weights == "uncertainty"
        self.uncertainty = TaskUncertainty(len(outputs)) if learns_weights else None
        self._how = model.pooling
        self._dropout = tuning.dropout

    def forward(self, batch: EventBatch | PaddedBatch) -> torch.Tensor:
        """Logits, task after task (`heads.outputs`). Shape: `[sequences, outputs]`."""
        events = self.encoder.token_embedding(batch.tokens)
        encoded = self.encoder.encode(events, batch)
        if self.shortcut is not None:
            encoded = self.shortcut(encoded, events)
        pooled = self._pooled(encoded, batch)
        pooled = functional.dropout(pooled, self._dropout, self.training)
        if self.shortcut is not None:
            pooled = torch.cat([pooled, self.shortcut.ages(batch)], dim=1)
        # In bf16 a logit of -3 has steps of 0.016: many sequences would have the same score.
        with full_precision(pooled.device):
            logits = torch.cat([head(pooled) for head in self.heads], dim=1)
        if self.wide is None:
            return logits
        if isinstance(batch, PaddedBatch):
            return logits + self.wide.of_rows(batch)
        wide: torch.Tensor = self.wide(batch)
        return logits + wide

    def _pooled(self, encoded: torch.Tensor, batch: EventBatch | PaddedBatch) -> torch.Tensor:
        """One vector a sequence. Shape: `[sequences, hidden]`."""
        if isinstance(batch, PaddedBatch):
            if self.pooling is None:
                return pool_rows(encoded, batch.is_real, self._how)
            return self.pooling.of_rows(encoded, batch.is_real)
        if self.pooling is None:
            return pool(encoded, batch.cu_seqlens, self._how)
        pooled: torch.Tensor = self.pooling(encoded, batch.cu_seqlens)
        return pooled

    def log_variances_of(self, rows: torch.Tensor) -> torch.Tensor | None:
        """`log_variances` for each row apart. `[subjects, ...]` to `[subjects, tasks]`."""
        return None if self.uncertainty is None else self.uncertainty(rows)

    @property
    def log_variances(self) -> torch.Tensor | None:
        """Of the tasks, where their weights are learnt. Shape: `[tasks]`."""
        return None if self.uncertainty is None else self.uncertainty.log_variances
