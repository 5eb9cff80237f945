"""Held-out examples and predictions of tasks of any kind, as yes-or-no questions."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.metrics.outcomes import binary_views, task_columns, view_names
from fedehr_simulations.outcome.held_out import HeldOut

Floats = NDArray[np.float64]


def held_out_views(study: StudyConfig, held_out: HeldOut) -> HeldOut:
    """The examples with one column a binary view; a regression has none."""
    nothing = np.full((len(held_out), _num_outputs(study)), np.nan)
    labels = _columns(study, held_out, nothing, is_label=True)
    names = [name for names in _names(study).values() for name in names]
    return replace(held_out, tasks=tuple(names), labels=labels)


def probabilities_of_views(study: StudyConfig, held_out: HeldOut, predictions: Floats) -> Floats:
    """Predictions `[rows, outputs]` as probabilities `[rows, views]`; NaN without a model."""
    if predictions.shape[1] != _num_outputs(study):
        predictions = np.full((len(held_out), _num_outputs(study)), np.nan)
    return _columns(study, held_out, predictions, is_label=False)


def _columns(
    study: StudyConfig, held_out: HeldOut, predictions: Floats, *, is_label: bool
) -> Floats:
    found: list[Floats] = []
    for place, columns in enumerate(task_columns(study.task_configs)):
        name = study.finetuning.tasks[place]
        labels, own = held_out.labels[:, place], predictions[:, columns]
        views = binary_views(name, study.task_configs[place], labels, own)
        found += [view.labels if is_label else view.probabilities for view in views]
    return np.stack(found, axis=1) if found else np.empty((len(held_out), 0))


def _names(study: StudyConfig) -> Mapping[str, tuple[str, ...]]:
    return {name: view_names(name, study.task(name)) for name in study.finetuning.tasks}


def _num_outputs(study: StudyConfig) -> int:
    return sum(task.num_outputs for task in study.task_configs)
