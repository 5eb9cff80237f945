"""Yes-or-no questions that a task's labels and predictions answer, whatever its kind."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.task import TaskConfig

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BinaryView:
    """One yes-or-no question over all examples.

    Attributes:
        name: the task's name, or `<task>.<class>`.
        known: `[examples]`, whether the answer is known.
        labels: `[examples]`, 1 yes, 0 no, NaN where unknown.
        probabilities: `[examples]`, of yes; NaN where there is no prediction.
    """

    name: str
    known: NDArray[np.bool_]
    labels: Floats
    probabilities: Floats


def view_names(name: str, task: TaskConfig) -> tuple[str, ...]:
    """The names of a task's binary views, none for a regression.

    Args:
        name: the task's.
        task: its section of the study.
    """
    if task.kind == "regression":
        return ()
    if task.kind == "multiclass":
        return tuple(f"{name}.{one}" for one in task.classes)
    return (name,)


def binary_views(
    name: str, task: TaskConfig, labels: NDArray[np.floating], predictions: NDArray[np.floating]
) -> tuple[BinaryView, ...]:
    """A task as yes-or-no questions.

    A binary task is its own; a multiclass task has one a class against the rest; a time to
    event asks whether it comes by the horizon, of those who were watched until then or had it;
    a regression has none.

    Args:
        name: the task's.
        task: its section of the study.
        labels: `[examples]` as encoded in `Examples.labels`: 0 or 1; the class's place; hours to
            the event, negative where watching ended then without it. NaN: no label.
        predictions: `[examples, outputs]`: probability; probability of each class; cumulative
            incidence by each interval's end.
    """
    told = np.asarray(labels, dtype=np.float64)
    scores = np.asarray(predictions, dtype=np.float64).reshape(told.size, task.num_outputs)
    names = view_names(name, task)
    return tuple(
        BinaryView(one, ~np.isnan(answers), answers, scores[:, column])
        for one, (answers, column) in zip(names, _answers(task, told), strict=True)
    )


def task_columns(tasks: Sequence[TaskConfig]) -> tuple[slice, ...]:
    """Where each task's outputs stand in `[examples, outputs]`, task after task."""
    ends = np.cumsum([task.num_outputs for task in tasks]).tolist()
    return tuple(slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False))


def _answers(task: TaskConfig, labels: Floats) -> Iterator[tuple[Floats, int]]:
    """Labels of each view, with the output that predicts it."""
    if task.kind == "binary":
        yield labels, 0
    elif task.kind == "multiclass":
        for place in range(len(task.classes)):
            yield np.where(np.isnan(labels), np.nan, labels == place), place
    elif task.kind == "time_to_event":
        # In the labels' precision: an event at the horizon itself is not after it.
        horizon = float(np.float32(task.interval_ends_hours[-1]))
        with np.errstate(invalid="ignore"):
            happened = (labels > 0) & (labels <= horizon)
            watched = np.abs(labels) >= horizon
        yield np.where(happened, 1.0, np.where(watched, 0.0, np.nan)), -1
