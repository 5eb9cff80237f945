"""What a site tells of each task beside its score: labels it trained on, and its tuning loss."""

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_client.training.examples import Examples
from fedehr_shared.cells import told_count
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.config.task import TaskConfig
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
    told = [told_count(int(num), min_cell) for num in examples.num_subjects(has_events)]
    named = zip(study.finetuning.tasks, told, strict=True)
    return {f"labels.{task}": float(num) for task, num in named if num}


def tuning_losses(
    study: StudyConfig,
    examples: Examples,
    predictions: NDArray[np.float64],
    balance: TaskBalance,
    min_cell: int,
) -> dict[str, float]:
    """Each task's mean loss on the tuning split, where it rests on `min_cell` subjects of each
    class. Of fewer, a model that tells nobody apart would let it count them: its loss is their
    share times a number that the coordinator knows.

    Args:
        study: nothing is told unless its task weights go by these losses.
        examples: of the tuning split, one a subject.
        predictions: `[examples, outputs]`, by the weights received.
        balance: what the coordinator told of the tasks.
        min_cell: the site's floor or the study's, whichever is higher.
    """
    if study.loss.task_weights != "dynamic":
        return {}
    logits = logits_of(torch.from_numpy(predictions), study.task_configs)
    labels = torch.from_numpy(examples.labels)
    losses = MultitaskLoss(study, balance).by_task(logits, labels).tolist()
    return {
        f"tuning.{task}.loss": round(loss, _DIGITS)
        for (task, config), loss, own in zip(
            study.tasks_by_name.items(), losses, examples.labels.T, strict=True
        )
        if _least_class(config, own) >= min_cell
    }


def _least_class(task: TaskConfig, labels: NDArray[np.float32]) -> int:
    """Subjects in the smallest class: events and all others of a time to an event, all of a
    regression."""
    known = labels[~np.isnan(labels)]
    if task.kind == "regression":
        return int(known.size)
    is_timed = task.kind == "time_to_event"
    places = (known > 0 if is_timed else known).astype(np.int64)
    return int(np.bincount(places, minlength=task.num_classes or 2).min())
