"""`FinetuningModel`: the encoder, pooled to one vector a sequence, with one head a task."""

import torch
from torch import nn
from torch.nn import functional

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.full_precision import full_precision
from fedehr_shared.model.lora.adapters import add_adapters
from fedehr_shared.tokens.batch import EventBatch

_SUM_SCALE = 1.0 / 16.0


class FinetuningModel(nn.Module):
    """Outcomes from a subject's sequence; heads are ordered as the study's tasks."""

    def __init__(self, study: StudyConfig, num_tokens: int) -> None:
        super().__init__()
        model, tuning = study.model, study.finetuning
        outputs = [task.num_outputs for task in study.task_configs]
        self.encoder = EventEncoder(model, num_tokens)
        if tuning.tuning == "lora":
            add_adapters(self.encoder, study.lora, study.seed)
        self.heads = nn.ModuleList(nn.Linear(model.hidden, num) for num in outputs)
        self.wide = TokenPresence(num_tokens, sum(outputs)) if tuning.wide else None
        self._pooling = model.pooling
        self._dropout = tuning.dropout

    def forward(self, batch: EventBatch) -> torch.Tensor:
        """Logits, task after task. Shape: `[sequences, outputs]`."""
        pooled = pool(self.encoder(batch), batch.cu_seqlens, self._pooling)
        pooled = functional.dropout(pooled, self._dropout, self.training)
        # In bf16 a logit of -3 has steps of 0.016: many sequences would have the same score.
        with full_precision(pooled.device):
            logits = torch.cat([head(pooled) for head in self.heads], dim=1)
        return logits if self.wide is None else logits + self.wide(batch)


class TokenPresence(nn.Module):
    """A linear term over which tokens a sequence holds: the wide part of "wide and deep"
    (Cheng et al. 2016). With few labels it carries what single codes say, and the encoder
    what they mean together."""

    def __init__(self, num_tokens: int, num_tasks: int) -> None:
        super().__init__()
        self.terms = nn.Embedding(num_tokens, num_tasks)

    def forward(self, batch: EventBatch) -> torch.Tensor:
        """Each sequence's sum over its distinct tokens. Shape: `[sequences, tasks]`."""
        num_tokens, num_tasks = self.terms.weight.shape
        owner = sequence_of_token(batch.cu_seqlens, batch.boundaries[-1])
        held, _ = torch.sort(owner * num_tokens + batch.tokens)
        # Every one but the first of its kind counts nothing: their number would have to be
        # waited for on a device, and differs between the subjects of per-sample gradients.
        is_first = torch.cat([torch.ones_like(held[:1]), (held[1:] != held[:-1]).long()])
        terms: torch.Tensor = self.terms(held % num_tokens) * is_first[:, None]
        empty = terms.new_zeros(batch.num_sequences, num_tasks)
        summed: torch.Tensor = empty.index_add(0, held // num_tokens, terms)
        return summed


def pool(encoded: torch.Tensor, cu_seqlens: torch.Tensor, how: str) -> torch.Tensor:
    """One vector a sequence: the mean of its tokens, or their sum scaled by 1/16.

    Shape: `[tokens, hidden]` to `[sequences, hidden]`.
    """
    lengths = cu_seqlens.diff()
    owner = sequence_of_token(cu_seqlens, encoded.shape[0])
    summed = encoded.new_zeros(lengths.numel(), encoded.shape[1]).index_add(0, owner, encoded)
    return summed * _SUM_SCALE if how == "sum" else summed / lengths[:, None]


def sequence_of_token(cu_seqlens: torch.Tensor, num_tokens: int) -> torch.Tensor:
    """The number of the sequence that each token belongs to. Shape: `[tokens]` int64."""
    lengths = cu_seqlens.diff()
    numbers = torch.arange(lengths.numel(), device=lengths.device)
    # Told the length, torch need not wait for a device to count it.
    return torch.repeat_interleave(numbers, lengths, output_size=num_tokens)


def multitask_loss(
    logits: torch.Tensor, labels: torch.Tensor, num_step_labels: torch.Tensor, smoothing: float
) -> torch.Tensor:
    """Mean over tasks, equally weighted, of the cross-entropy over each task's known labels.

    Args:
        logits: `[sequences, tasks]`.
        labels: `[sequences, tasks]`, 0 or 1, NaN where the subject has no label.
        num_step_labels: `[tasks]`, known labels of the whole step: the losses of its pieces add
            up to the step's.
        smoothing: labels move this far towards one half.

    Shape: a scalar; 0 where nothing is labelled.
    """
    known = ~labels.isnan()
    targets = torch.where(known, labels, 0.5) * (1 - 2 * smoothing) + smoothing
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    by_task = (losses * known).sum(dim=0) / num_step_labels.clamp(min=1)
    return by_task.mean()
