"""`TaskParts`: which numbers of a model belong to one task alone.

A site without labels of a task must not move that task's head, and must not weigh in its mean.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.heads.outputs import output_slices
from fedehr_shared.wire.payload import Arrays

SHARED = -1
"""The part that all tasks have in common; others are numbered as the study's tasks."""
_HEAD = re.compile(r"heads\.(\d+)\.")
_WIDE, _UNCERTAINTY = "wide.terms.", "uncertainty.log_variances"

Tensor = NDArray[np.float32]


@dataclass(frozen=True)
class TaskParts:
    """Splits tensors by task, and joins them again.

    Names are those of `FinetuningModel`'s parameters, or of their moments: a head's own tensors,
    its columns of the wide term, its log-variance.

    Attributes:
        names: of the study's tasks.
        columns: by task, its columns of all outputs.
    """

    names: tuple[str, ...]
    columns: tuple[slice, ...]

    @classmethod
    def of(cls, study: StudyConfig) -> "TaskParts":
        """The parts of a study's model."""
        return cls(study.finetuning.tasks, output_slices(study.task_configs))

    def split(self, tensors: Mapping[str, Tensor]) -> dict[int, Arrays]:
        """By part, the tensors of which it has something, under their own names."""
        parts: dict[int, Arrays] = {SHARED: {}}
        for name, tensor in tensors.items():
            for part, own in self._split(name, tensor):
                parts.setdefault(part, {})[name] = own
        return parts

    def join(self, parts: Mapping[int, Mapping[str, Tensor]]) -> Arrays:
        """The way back from `split`."""
        pieces: dict[str, list[Tensor]] = {}
        for part in sorted(parts):
            for name, own in parts[part].items():
                pieces.setdefault(name, []).append(own)
        return {name: self._join(name, own) for name, own in pieces.items()}

    def changed(
        self, tensors: Mapping[str, Tensor], change: Callable[[int, Arrays], Arrays]
    ) -> Arrays:
        """The tensors, with every part changed by its number."""
        return self.join({part: change(part, own) for part, own in self.split(tensors).items()})

    def without(self, tensors: Mapping[str, Tensor], is_trained: Sequence[bool]) -> Arrays:
        """The tensors, with zeros where they belong to a task that was not trained.

        Args:
            tensors: by name.
            is_trained: by task.
        """

        def keep(part: int, own: Arrays) -> Arrays:
            if part == SHARED or is_trained[part]:
                return own
            return {name: np.zeros_like(tensor) for name, tensor in own.items()}

        return self.changed(tensors, keep)

    def _split(self, name: str, tensor: Tensor) -> list[tuple[int, Tensor]]:
        head = _HEAD.match(name)
        if head is not None:
            return [(int(head.group(1)), tensor)]
        if name.startswith(_WIDE):
            return [(task, tensor[:, own]) for task, own in enumerate(self.columns)]
        if name.startswith(_UNCERTAINTY):
            return [(task, tensor[task : task + 1]) for task in range(len(self.columns))]
        return [(SHARED, tensor)]

    def _join(self, name: str, pieces: list[Tensor]) -> Tensor:
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces, axis=1 if name.startswith(_WIDE) else 0)
