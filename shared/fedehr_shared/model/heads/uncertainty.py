"""`TaskUncertainty`: what `task_weights = "uncertainty"` learns."""

import torch
from torch import nn


class TaskUncertainty(nn.Module):
    """A log-variance for each task (Kendall et al. 2018): a task with a large loss is noisy,
    and weighs less; the term that grows with the variance keeps it from weighing nothing."""

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        self.log_variances = nn.Parameter(torch.zeros(num_tasks))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """The same numbers for each row of anything, so that each subject has a gradient of its
        own. Shape: `[subjects, ...]` to `[subjects, tasks]`."""
        return self.log_variances.expand(rows.shape[0], -1)
