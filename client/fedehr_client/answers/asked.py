"""`Asked`: a question with the subjects that answer it, and the numbers that may be told."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.cells import told_count
from fedehr_shared.config.evaluation import EvaluationConfig
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.metrics import binary
from fedehr_shared.metrics.binary import Metric
from fedehr_shared.metrics.calibration import (
    calibration_error,
    calibration_intercept,
    calibration_slope,
    num_bins_allowed,
)
from fedehr_shared.metrics.concordance import concordance, num_replicates_within_reach
from fedehr_shared.metrics.intervals import bootstrap_weights, metric_interval
from fedehr_shared.metrics.outcomes import BinaryView, binary_views
from fedehr_shared.metrics.questions import RANGES, Question, questions_of
from fedehr_shared.metrics.regression import REGRESSION_METRICS
from fedehr_shared.metrics.told_values import in_steps, rounded_value, step_of

Floats = NDArray[np.float64]
_ROUNDED = 1e-9
"""A correlation of 1 may come out as a little more; it is told in coarser steps than this."""


@dataclass(frozen=True)
class Asked:
    """A question over some examples.

    Attributes:
        question: which.
        rows: `[known]`, the examples that answer it.
        labels: `[known]`, as its metrics take them.
        values: `[known]`, predictions likewise.
        is_positive: `[known]`, 1 or 0; all 0 where there are no classes.
    """

    question: Question
    rows: NDArray[np.int64]
    labels: Floats
    values: Floats
    is_positive: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Negatives and positives, or all subjects alone. `[classes]`."""
        found = np.bincount(self.is_positive, minlength=2)
        return np.asarray(found if self.question.has_classes else found[:1], dtype=np.int64)

    def at(self, chosen: NDArray[np.bool_]) -> "Asked":
        """Of some of its subjects."""
        return Asked(
            self.question,
            self.rows[chosen],
            self.labels[chosen],
            self.values[chosen],
            self.is_positive[chosen],
        )

    def counts_told(self, prefix: str, min_cell: int) -> dict[str, float]:
        """`num` and `num_positive` by the cell rule."""
        told = [told_count(int(num), min_cell) for num in self.counts]
        numbers = {f"{prefix}.num": float(sum(told))}
        return numbers | ({f"{prefix}.num_positive": float(told[1])} if len(told) > 1 else {})

    def metrics_told(
        self,
        prefix: str,
        metrics: tuple[str, ...],
        config: EvaluationConfig,
        min_cell: int,
        site: str,
    ) -> dict[str, float]:
        """Metrics with intervals over subjects; one that `_is_tellable` refuses is left out."""
        num = config.num_bootstraps
        if "concordance" in metrics:
            num = num_replicates_within_reach(self.rows.size, num)
        weights = bootstrap_weights(self.rows.size, num, site, prefix)
        told: dict[str, float] = {}
        for name in metrics:
            found = metric_interval(
                self._metric(name, config, min_cell), self.labels, [self.values], weights
            )
            ends = {"": found.value, ".low": found.low, ".high": found.high}
            if all(_is_tellable(name, value) for value in ends.values()):
                told |= {
                    f"{prefix}.{name}{end}": self.told(name, value, min_cell)
                    for end, value in ends.items()
                }
        return told

    def values_told(
        self, prefix: str, metrics: tuple[str, ...], config: EvaluationConfig, min_cell: int
    ) -> dict[str, float]:
        """Metrics alone."""
        once = np.ones((1, self.rows.size))
        found = {
            name: float(self._metric(name, config, min_cell)(self.labels, self.values, once)[0])
            for name in metrics
        }
        return {
            f"{prefix}.{name}": self.told(name, value, min_cell)
            for name, value in found.items()
            if _is_tellable(name, value)
        }

    def told(self, metric: str, value: float, min_cell: int) -> float:
        """In steps that tell no count (`told_values.py`)."""
        if metric in REGRESSION_METRICS:
            return rounded_value(value)
        counts = [told_count(int(num), min_cell) for num in self.counts]
        step = step_of(sum(counts)) if metric == "accuracy" else step_of(*counts)
        return in_steps(value, step)

    def _metric(self, name: str, config: EvaluationConfig, min_cell: int) -> Metric:
        if name == "calibration_error":
            most = config.num_calibration_bins
            return calibration_error(num_bins_allowed(self.rows.size, most, min_cell))
        return _METRICS[name]


def ask(name: str, task: TaskConfig, labels: Floats, predictions: Floats) -> Iterator[Asked]:
    """All questions of a task, each with the examples that answer it.

    Args:
        name: the task's.
        task: its section of the study.
        labels: `[examples]`.
        predictions: `[examples, outputs]`.
    """
    views = {view.name: view for view in binary_views(name, task, labels, predictions)}
    for question in questions_of(name, task):
        if question.has_scores:
            yield _of_view(question, views[question.name])
        else:
            yield _of_kind(question, task, labels, predictions)


def _of_view(question: Question, view: BinaryView) -> Asked:
    labels = view.labels[view.known]
    rows = np.flatnonzero(view.known)
    return Asked(question, rows, labels, view.probabilities[view.known], labels.astype(np.int64))


def _of_kind(question: Question, task: TaskConfig, labels: Floats, predictions: Floats) -> Asked:
    known = np.flatnonzero(~np.isnan(labels))
    own, values = labels[known], predictions[known]
    if task.kind == "multiclass":
        own, risks = (values.argmax(axis=1) == own).astype(np.float64), np.zeros(known.size)
        return Asked(question, known, own, risks, own.astype(np.int64))
    positive = own > 0 if task.kind == "time_to_event" else np.zeros(known.size, dtype=bool)
    return Asked(question, known, own, values[:, -1], positive.astype(np.int64))


def _is_tellable(metric: str, value: float) -> bool:
    """Whether it is finite and in its range: of probabilities that are all but the same, the
    best slope has no end, and the coordinator would refuse the whole report for it."""
    least, greatest = RANGES[metric]
    return least - _ROUNDED <= value <= greatest + _ROUNDED


def _accuracy(labels: Floats, values: Floats, weights: Floats) -> Floats:
    return np.asarray(weights @ labels / weights.sum(axis=1))


_METRICS: Mapping[str, Metric] = {
    **binary.METRICS,
    **REGRESSION_METRICS,
    "calibration_slope": calibration_slope,
    "calibration_intercept": calibration_intercept,
    "concordance": concordance,
    "accuracy": _accuracy,
}
