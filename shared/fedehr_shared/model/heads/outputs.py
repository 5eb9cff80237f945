"""The outputs of all heads: which are whose, and what they say of an example."""

from collections.abc import Sequence

import torch
from torch.nn import functional

from fedehr_shared.config.task import TaskConfig


def output_slices(tasks: Sequence[TaskConfig]) -> tuple[slice, ...]:
    """By task, its columns of `[sequences, outputs]`."""
    slices, begin = [], 0
    for task in tasks:
        slices.append(slice(begin, begin + task.num_outputs))
        begin += task.num_outputs
    return tuple(slices)


def predictions_of(logits: torch.Tensor, tasks: Sequence[TaskConfig]) -> torch.Tensor:
    """What a model predicts.

    Args:
        logits: `[examples, outputs]`, best in double precision.
        tasks: in the order of the heads.

    Returns:
        `[examples, outputs]`: the probability of a binary outcome; of each class; the value in
        the label's unit; the probability of the event by each interval's end.
    """
    columns = zip(tasks, output_slices(tasks), strict=True)
    return torch.cat([_predict(logits[:, own], task) for task, own in columns], dim=1)


def _predict(logits: torch.Tensor, task: TaskConfig) -> torch.Tensor:
    if task.kind == "binary":
        return torch.sigmoid(logits)
    if task.kind == "multiclass":
        return torch.softmax(logits, dim=1)
    if task.kind == "regression":
        return task.center + task.scale * logits
    return -torch.expm1(-functional.softplus(logits).cumsum(dim=1))


def logits_of(predictions: torch.Tensor, tasks: Sequence[TaskConfig]) -> torch.Tensor:
    """Logits that give these predictions: the way back from `predictions_of`.

    A probability below 1e-12, or so near to one, is taken as that.

    Shape: `[examples, outputs]` both.
    """
    columns = zip(tasks, output_slices(tasks), strict=True)
    return torch.cat([_unpredict(predictions[:, own], task) for task, own in columns], dim=1)


_LEAST = 1e-12


def _unpredict(predictions: torch.Tensor, task: TaskConfig) -> torch.Tensor:
    if task.kind == "binary":
        return torch.logit(predictions, _LEAST)
    if task.kind == "multiclass":
        return torch.log(predictions.clamp(min=_LEAST))
    if task.kind == "regression":
        return (predictions - task.center) / task.scale
    left = 1 - predictions
    before = torch.cat([torch.ones_like(left[:, :1]), left[:, :-1]], dim=1)
    return torch.logit(1 - left / before.clamp(min=_LEAST), _LEAST)
