"""`Question`: what is asked of a model's predictions, and under which names it is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from fedehr_shared.config.evaluation import EvaluationConfig
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.metrics.outcomes import view_names

BINARY = (
    "auroc", "auprc", "brier", "calibration_error", "calibration_slope", "calibration_intercept",
)  # fmt: skip
OF_PROBABILITIES = BINARY[2:]
"""What a calibration changes; told before it too."""
_SLOPES = ("calibration_slope", "calibration_intercept")
SEXES = ("unknown", "female", "male", "another")
"""In the order of `tokens/sexes.py`."""
UNKNOWN_AGE = "unknown"
RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("auroc", "auprc", "brier", "calibration_error"), (0.0, 1.0)),
    **dict.fromkeys(("accuracy", "concordance"), (0.0, 1.0)),
    **dict.fromkeys(_SLOPES, (-1e6, 1e6)),
    "mae": (0.0, 1e12), "rmse": (0.0, 1e12), "r2": (-1e12, 1.0), "spearman": (-1.0, 1.0),
}  # fmt: skip
"""No honest metric is outside."""


@dataclass(frozen=True)
class Question:
    """One thing asked of a task.

    Attributes:
        name: the task's; `<task>.<class>` for one class against the rest; `<task>.time` for
            the order of times to the event.
        metrics: which metrics answer it.
        has_classes: whether its subjects are positive or negative, and must be enough of both.
        has_scores: whether histograms of its scores are told.
        has_groups: whether it is asked of subgroups too.
    """

    name: str
    metrics: tuple[str, ...]
    has_classes: bool = True
    has_scores: bool = False
    has_groups: bool = True

    @property
    def group_metrics(self) -> tuple[str, ...]:
        """The metrics of a subgroup: those that a few subjects can tell."""
        return tuple(metric for metric in self.metrics if metric not in _SLOPES)


def questions_of(name: str, task: TaskConfig) -> tuple[Question, ...]:
    """What is asked of a task: its binary views, and what is of its kind alone.

    Args:
        name: the task's.
        task: its section of the study.
    """
    views = tuple(
        Question(view, BINARY, has_scores=True, has_groups=task.kind != "multiclass")
        for view in view_names(name, task)
    )
    if task.kind == "multiclass":
        return (*views, Question(name, ("accuracy",)))
    if task.kind == "time_to_event":
        return (*views, Question(f"{name}.time", ("concordance",)))
    if task.kind == "regression":
        return (Question(name, ("mae", "rmse", "r2", "spearman"), has_classes=False),)
    return views


def group_names(evaluation: EvaluationConfig) -> dict[str, tuple[str, ...]]:
    """By what is told apart (`sex`, `age`), the names of the groups."""
    bands = [f"{value:g}" for value in evaluation.age_bands_years]
    ages = (f"below {bands[0]}", *(f"{a} to {b}" for a, b in pairwise(bands)), f"{bands[-1]} up")
    named = {"sex": SEXES, "age": (*ages, UNKNOWN_AGE)}
    return {kind: named[kind] for kind in evaluation.subgroups}


def group_prefix(question: str, kind: str, group: str) -> str:
    """How a group's numbers are named: `<question>/<kind>/<group>`."""
    return f"{question}/{kind}/{group}"
