"""`[tasks.NAME]`: what kind of outcome a task has; a task without a section is binary."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedehr_shared.config.section import Section

TaskKind = Literal["binary", "multiclass", "regression", "time_to_event"]
Hours = Annotated[float, Field(gt=0, le=1_000_000)]
ClassName = Annotated[str, Field(min_length=1, max_length=200)]
Probability = Annotated[float, Field(gt=0, lt=1)]
_KEYS_OF = {
    "classes": "multiclass",
    "center": "regression",
    "scale": "regression",
    "interval_ends_hours": "time_to_event",
}


class TaskConfig(Section):
    """One task's outcome.

    All numbers here are public: nothing is read from records.
    """

    kind: TaskKind = "binary"
    """`time_to_event`: a hazard in each of a row of intervals (Gensheimer and Narasimhan 2019)."""
    weight: Annotated[float, Field(ge=0, le=1_000)] = 1.0
    """With `[loss] task_weights = "fixed"`: the task's share of the loss."""
    class_weights: tuple[Annotated[float, Field(gt=0, le=1_000)], ...] = ()
    """Weights of the classes in the loss: negative then positive, or as `classes`; empty: 1."""
    classes: tuple[ClassName, ...] = ()
    """`multiclass`: the values of the label, in the order of the head's outputs."""
    center: float = 0.0
    """`regression`: a usual value, in the label's unit ..."""
    scale: Annotated[float, Field(gt=0)] = 1.0
    """... and a usual deviation from it."""
    interval_ends_hours: tuple[Hours, ...] = ()
    """`time_to_event`: where each interval ends, in hours from the prediction; the last is the
    horizon."""
    thresholds: Annotated[tuple[Probability, ...], Field(max_length=8)] = (0.1, 0.2, 0.5)
    """Probabilities at which sensitivity and positive predictive value are told."""

    @model_validator(mode="after")
    def _keys_of_its_kind(self) -> "TaskConfig":
        for key, kind in _KEYS_OF.items():
            if self.kind != kind and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} belongs to kind '{kind}', and this is '{self.kind}'")
        if self.kind == "multiclass" and not 2 <= len(set(self.classes)) == len(self.classes) <= 64:
            raise ValueError("kind 'multiclass' needs classes: 2 to 64 different names")
        ends = self.interval_ends_hours
        if self.kind == "time_to_event" and not ends:
            raise ValueError("kind 'time_to_event' needs interval_ends_hours")
        if any(one >= next_one for one, next_one in pairwise(ends)) or len(ends) > 64:
            raise ValueError("interval_ends_hours must rise, and be 64 at most")
        if any(one >= next_one for one, next_one in pairwise(self.thresholds)):
            raise ValueError("thresholds must rise")
        if self.class_weights and self.num_classes != len(self.class_weights):
            raise ValueError(
                f"class_weights has {len(self.class_weights)} number(s), and a task of kind "
                f"'{self.kind}' has {self.num_classes} classes"
            )
        return self

    @property
    def num_classes(self) -> int:
        """Classes that a loss can weigh; 0 where there are none."""
        return {"binary": 2, "multiclass": len(self.classes)}.get(self.kind, 0)

    @property
    def num_counts(self) -> int:
        """Parts that labels are counted in: classes; the intervals in which the event falls and
        all else; or one, of all labels of a regression."""
        ends = len(self.interval_ends_hours)
        return ends + 1 if self.kind == "time_to_event" else max(1, self.num_classes)

    @property
    def num_outputs(self) -> int:
        """Outputs of the task's head."""
        ends, classes = len(self.interval_ends_hours), len(self.classes)
        return {"time_to_event": ends, "multiclass": classes}.get(self.kind, 1)
