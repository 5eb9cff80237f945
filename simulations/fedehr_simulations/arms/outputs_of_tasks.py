"""Predictions of a model that knows some of a study's tasks, as columns of all."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.study import StudyConfig


def outputs_of_all_tasks(
    study: StudyConfig, own: NDArray[np.float64], held: Collection[str]
) -> NDArray[np.float64]:
    """Columns of NaN stand for the tasks that the model does not know.

    Args:
        study: with all tasks.
        own: `[rows, outputs of the held tasks]`.
        held: names of the tasks that the model knows.

    Shape: `[rows, outputs]`.
    """
    outputs = [task.num_outputs for task in study.task_configs]
    is_held = [name in held for name in study.finetuning.tasks]
    whole = np.full((len(own), sum(outputs)), np.nan)
    whole[:, np.repeat(is_held, outputs)] = own
    return whole
