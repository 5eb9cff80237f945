"""`DynamicWeights`: task weights by how fast each task's tuning loss falls."""

import math
from collections.abc import Mapping, Sequence

from fedehr_server.phases.task_sums import LABELS
from fedehr_shared.config.study import StudyConfig

_LEAST, _MOST = 1e-6, 10.0
"""Bounds of a loss and of a ratio, lest one task take all."""
_DIGITS = 4


class DynamicWeights:
    """Dynamic weight average (Liu et al. 2019, section 3.3), with the sites' mean tuning losses
    in place of one training loss.

    A round weighs a task by `softmax(r / T)`, r its loss in the round before over that in the
    one before it: what still falls fast weighs less. Until two rounds have told, tasks weigh
    alike; a task of which no site may tell has r = 1.
    """

    def __init__(self, study: StudyConfig) -> None:
        self._tasks = study.finetuning.tasks
        self._is_asked = study.loss.task_weights == "dynamic"
        self._temperature = study.loss.dynamic_temperature
        self._last: list[float | None] = [None] * len(self._tasks)
        self._before = self._last

    def add(self, told: Sequence[Mapping[str, float]]) -> None:
        """Take the losses of a round.

        Args:
            told: by site, in the order of their names, what it told beside its update.
        """
        self._before, self._last = self._last, [_mean_loss(task, told) for task in self._tasks]

    @property
    def weights(self) -> tuple[float, ...]:
        """Of the next round, adding up to 1; empty where the study asks for none."""
        if not self._is_asked:
            return ()
        terms = [
            math.exp(_ratio(last, before) / self._temperature)
            for last, before in zip(self._last, self._before, strict=True)
        ]
        return tuple(round(term / sum(terms), _DIGITS) for term in terms)


def _ratio(last: float | None, before: float | None) -> float:
    if last is None or before is None:
        return 1.0
    return min(_MOST, max(last, _LEAST) / max(before, _LEAST))


def _mean_loss(task: str, told: Sequence[Mapping[str, float]]) -> float | None:
    """Over the sites that tell it, by their labels."""
    key, num = f"tuning.{task}.loss", f"{LABELS}{task}"
    pairs = [(own[key], own.get(num, 0.0)) for own in told if key in own]
    total = sum(weight for _, weight in pairs)
    return sum(loss * weight for loss, weight in pairs) / total if total else None
