"""`FinetuningModel`: the encoder, pooled to one vector a sequence, with one head a task."""

import torch
from torch import nn
from torch.nn import functional

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.full_precision import full_precision
from fedehr_shared.model.heads.pooling import AttentionPooling, pool
from fedehr_shared.model.heads.token_presence import TokenPresence
from fedehr_shared.model.heads.uncertainty import TaskUncertainty
from fedehr_shared.model.lora.adapters import add_adapters
from fedehr_shared.tokens.batch import EventBatch

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
        self.heads = nn.ModuleList(nn.Linear(model.hidden, num) for num in outputs)
        self.wide = TokenPresence(num_tokens, sum(outputs)) if tuning.wide else None
        learns_weights = study.loss.task_weights == "uncertainty"
        self.uncertainty = TaskUncertainty(len(outputs)) if learns_weights else None
        self._how = model.pooling
        self._dropout = tuning.dropout

    def forward(self, batch: EventBatch) -> torch.Tensor:
        """Logits, task after task (`heads.outputs`). Shape: `[sequences, outputs]`."""
        encoded = self.encoder(batch)
        if self.pooling is None:
            pooled = pool(encoded, batch.cu_seqlens, self._how)
        else:
            pooled = self.pooling(encoded, batch.cu_seqlens)
        pooled = functional.dropout(pooled, self._dropout, self.training)
        # In bf16 a logit of -3 has steps of 0.016: many sequences would have the same score.
        with full_precision(pooled.device):
            logits = torch.cat([head(pooled) for head in self.heads], dim=1)
        return logits if self.wide is None else logits + self.wide(batch)

    @property
    def log_variances(self) -> torch.Tensor | None:
        """Of the tasks, where their weights are learnt. Shape: `[tasks]`."""
        return None if self.uncertainty is None else self.uncertainty.log_variances
