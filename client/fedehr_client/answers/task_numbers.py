"""What a site tells of each task beside its score: labels it trained on, and its tuning loss."""

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_client.training.examples import Examples
from fedehr_shared.cells import told_count
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.heads.multitask import MultitaskLoss
from fedehr_shared.model.heads.outputs import logits_of
from fedehr_shared.wire.task_balance import TaskBalance

_DIGITS = 3


def label_numbers(
    study: StudyConfig, examples: Examples, has_events: NDArray[np.bool_], min_cell: int
) -> dict[str, float]:
    """By task, labelled training subjects by the cell rule: what the site weighs in its head.

    Args:
        study: for its tasks.
        examples: those that the site trained on.
        has_events: `[examples]`; other subjects count nowhere.
        min_cell: the site's floor or the study's, whichever is higher.
    """
    counts = (~np.isnan(examples.labels[has_events])).sum(axis=0).tolist()
    told = [told_count(num, min_cell) for num in counts]
    named = zip(study.finetuning.tasks, told, strict=True)
    return {f"labels.{task}": float(num) for task, num in named if num}


def tuning_losses(
    study: StudyConfig,
    examples: Examples,
    predictions: NDArray[np.float64],
    balance: TaskBalance,
    min_cell: int,
) -> dict[str, float]:
    """Each task's mean loss on the tuning split, where it rests on `min_cell` subjects.

    Args:
        study: nothing is told unless its task weights go by these losses.
        examples: of the tuning split.
        predictions: `[examples, outputs]`, by the weights received.
        balance: what the coordinator told of the tasks.
        min_cell: the site's floor or the study's, whichever is higher.
    """
    if study.loss.task_weights != "dynamic":
        return {}
    logits = logits_of(torch.from_numpy(predictions), study.task_configs)
    labels = torch.from_numpy(examples.labels)
    losses = MultitaskLoss(study, balance).by_task(logits, labels).tolist()
    counts = (~labels.isnan()).sum(dim=0).tolist()
    return {
        f"tuning.{task}.loss": round(loss, _DIGITS)
        for task, loss, num in zip(study.finetuning.tasks, losses, counts, strict=True)
        if num >= min_cell
    }
