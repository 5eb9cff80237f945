"""`TaskBalance`: what the coordinator tells all sites of the tasks, before a round."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import WireError
from fedehr_shared.wire.payload import Values

_WEIGHTS, _SHARES = "weights", "class_shares."


@dataclass(frozen=True)
class TaskBalance:
    """Numbers of the federation, never of one site, and never counts.

    Attributes:
        weights: of `[loss] task_weights = "dynamic"`, by task, adding up to 1; else empty.
        class_shares: of `[loss] class_weights = "balanced"`, by the name of a task with
            classes: shares of the federation's labels, in thousandths and at least one.
    """

    weights: tuple[float, ...] = ()
    class_shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def to_values(self) -> Values:
        """The record `tasks` of a request; empty where the study needs none."""
        values: Values = {_SHARES + name: list(own) for name, own in self.class_shares.items()}
        if self.weights:
            values[_WEIGHTS] = list(self.weights)
        return values

    @classmethod
    def from_values(cls, values: Values, study: StudyConfig) -> "TaskBalance":
        """Read a record.

        Raises:
            WireError: a number is missing, is not asked for, or is none that it may be.
        """
        wanted = balanced_tasks(study)
        names = {_SHARES + name for name in wanted}
        if study.loss.task_weights == "dynamic":
            names.add(_WEIGHTS)
        if set(values) != names:
            raise WireError("the request's record 'tasks' is not what the study asks for.")
        num_weights = len(study.finetuning.tasks) if _WEIGHTS in names else 0
        weights = _floats(values, _WEIGHTS, num_weights) if num_weights else ()
        shares = {
            name: _floats(values, _SHARES + name, study.task(name).num_classes) for name in wanted
        }
        if any(min(own) <= 0 for own in shares.values()):
            raise WireError("the request's record 'tasks' has a class without a share.")
        return cls(weights, shares)


def balanced_tasks(study: StudyConfig) -> tuple[str, ...]:
    """The tasks whose class weights come from the federation's label counts."""
    if study.loss.class_weights != "balanced":
        return ()
    tasks = study.finetuning.tasks
    return tuple(
        name
        for name in tasks
        if study.task(name).num_classes and not study.task(name).class_weights
    )


def _floats(values: Values, key: str, length: int) -> tuple[float, ...]:
    given = values[key]
    found = [float(x) for x in given if not isinstance(x, str)] if isinstance(given, list) else []
    if len(found) != length or not all(math.isfinite(x) and 0 <= x <= 1 for x in found):
        raise WireError(f"'{key}' of the request's record 'tasks' is no list of {length} shares.")
    return tuple(found)
