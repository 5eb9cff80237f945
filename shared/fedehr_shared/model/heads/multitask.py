"""`MultitaskLoss`: the losses of a study's tasks, over the labels that there are, as one."""

from collections.abc import Sequence

import torch
from torch import nn

from fedehr_shared.config.loss import LossConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.model.heads.class_loss import ClassLoss
from fedehr_shared.model.heads.class_weights import class_weights_of
from fedehr_shared.model.heads.hazard import HazardLoss
from fedehr_shared.model.heads.outputs import output_slices
from fedehr_shared.model.heads.regression import RegressionLoss
from fedehr_shared.wire.task_balance import TaskBalance

TaskLoss = ClassLoss | RegressionLoss | HazardLoss


class MultitaskLoss(nn.Module):
    """The weighted sum, over tasks, of each task's mean loss over its known labels.

    Each label's share is a number over `num_step_labels`, so the losses of a step's pieces, and
    of its single subjects, add up to the step's. Weights add up to 1, and depend on the study
    and on what the coordinator tells all sites alike.
    """

    weights: torch.Tensor

    def __init__(self, study: StudyConfig, balance: TaskBalance | None = None) -> None:
        """`balance`: what the coordinator told; None: as if it told nothing."""
        super().__init__()
        tasks = study.task_configs
        balance = balance or TaskBalance()
        self._slices = output_slices(tasks)
        self._losses = nn.ModuleList(
            make_task_loss(study.loss, task, balance.class_shares.get(name, ()))
            for name, task in zip(study.finetuning.tasks, tasks, strict=True)
        )
        weights = torch.tensor(task_weights(study, balance))
        self.register_buffer("weights", weights, persistent=False)

    def forward(
        self,
        logits: torch.Tensor,
        labels: torch.Tensor,
        num_step_labels: torch.Tensor,
        log_variances: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The share of a step's loss that these sequences have.

        Args:
            logits: `[sequences, outputs]`.
            labels: `[sequences, tasks]`, NaN where there is none.
            num_step_labels: `[tasks]`, known labels of the whole step.
            log_variances: `[tasks]`, of `task_weights = "uncertainty"`.

        Shape: a scalar; 0 where nothing is labelled.
        """
        losses = self._of_known(logits, labels, log_variances)
        by_task = losses.sum(dim=0) / num_step_labels.clamp(min=1)
        return (by_task * self.weights.to(by_task.dtype)).sum()

    def by_subject(
        self,
        logits: torch.Tensor,
        labels: torch.Tensor,
        log_variances: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Each sequence's own loss: the weighted sum over its known labels, whoever else is in
        the batch. Every head is computed and has a gradient, of zeros where no label is known.

        Args:
            logits: `[sequences, outputs]`.
            labels: `[sequences, tasks]`, NaN where there is none.
            log_variances: `[sequences, tasks]`, of `FinetuningModel.log_variances_of`.

        Shape: `[sequences]`.
        """
        losses = self._of_known(logits, labels, log_variances)
        return (losses * self.weights.to(losses.dtype)).sum(dim=1)

    def _of_known(
        self, logits: torch.Tensor, labels: torch.Tensor, log_variances: torch.Tensor | None
    ) -> torch.Tensor:
        """Every label's loss, 0 where there is none. Shape: `[sequences, tasks]`."""
        losses = self._each(logits, labels.nan_to_num(0.0))
        if log_variances is not None:
            # Kendall et al. 2018, (7) and (10): both terms are a label's, so pieces add up.
            losses = torch.exp(-log_variances) * losses + log_variances / 2
        return losses * ~labels.isnan()

    def by_task(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Each task's mean loss, unweighted; NaN without a label. Shape: `[tasks]`."""
        known = ~labels.isnan()
        losses = self._each(logits, labels.nan_to_num(0.0))
        return (losses * known).sum(dim=0) / known.sum(dim=0)

    def _each(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Every label's loss. Shape: `[sequences, tasks]`."""
        pairs = enumerate(zip(self._losses, self._slices, strict=True))
        losses = [loss(logits[:, own], labels[:, task]) for task, (loss, own) in pairs]
        return torch.stack(losses, dim=1)


def make_task_loss(config: LossConfig, task: TaskConfig, class_shares: Sequence[float]) -> TaskLoss:
    """A task's loss.

    Args:
        config: `[loss]`.
        task: its kind.
        class_shares: of the federation's labels; empty where they are not told.
    """
    if task.kind == "regression":
        return RegressionLoss(task.center, task.scale)
    if task.kind == "time_to_event":
        return HazardLoss(task.interval_ends_hours)
    return ClassLoss(config, class_weights_of(config, task, class_shares))


def task_weights(study: StudyConfig, balance: TaskBalance) -> tuple[float, ...]:
    """By task; they add up to 1."""
    tasks = study.task_configs
    if study.loss.task_weights == "fixed":
        total = sum(task.weight for task in tasks)
        return tuple(task.weight / total for task in tasks)
    return balance.weights or (1 / len(tasks),) * len(tasks)
