"""`BinaryOutcomes`: the yes-or-no questions that a study's tasks answer, with their labels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.metrics.outcomes import binary_views, view_names
from fedehr_simulations.probe.encodings import Encodings


@dataclass(frozen=True)
class BinaryOutcomes:
    """Questions of a study.

    Attributes:
        tasks: the study's, in its order.
        names: of the questions, in the order of their columns.
        left_out: tasks without a question: a probe says nothing of them.
    """

    tasks: Mapping[str, TaskConfig]
    names: tuple[str, ...]
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, study: StudyConfig) -> "BinaryOutcomes":
        """The questions of a study."""
        tasks = dict(zip(study.finetuning.tasks, study.task_configs, strict=True))
        asked = {name: view_names(name, task) for name, task in tasks.items()}
        return cls(
            tasks,
            tuple(view for views in asked.values() for view in views),
            tuple(name for name, views in asked.items() if not views),
        )

    def labels(self, told: NDArray[np.floating]) -> NDArray[np.float64]:
        """Labels of the questions: `[examples, tasks]` to `[examples, questions]`."""
        columns = [
            view.labels
            for place, (name, task) in enumerate(self.tasks.items())
            for view in binary_views(name, task, told[:, place], _unknown(len(told), task))
        ]
        return np.stack(columns, axis=1) if columns else np.empty((len(told), 0))

    def asked(self, encodings: Mapping[str, Encodings]) -> dict[str, Encodings]:
        """The same examples by split, labelled by question."""
        return {
            split: Encodings(own.vectors, self.labels(own.labels), own.subject_ids)
            for split, own in encodings.items()
        }


def _unknown(num: int, task: TaskConfig) -> NDArray[np.float64]:
    """Views want predictions too, and there are none."""
    return np.full((num, task.num_outputs), np.nan)
