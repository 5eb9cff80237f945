"""`TaskUncertainty`: what `task_weights = "uncertainty"` learns."""

import torch
from torch import nn


class TaskUncertainty(nn.Module):
    """A log-variance for each task (Kendall et al. 2018): a task with a large loss is noisy,
    and weighs less; the term that grows with the variance keeps it from weighing nothing."""

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        self.log_variances = nn.Parameter(torch.zeros(num_tasks))
