"""From predictions to scores with intervals: pooled, by site and by seed, and what is withheld.

Bootstrap replicates draw subjects; they depend on the task and the place alone, so that all
arms meet the same replicates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.metrics import intervals
from fedehr_shared.metrics.calibration import (
    calibration_error,
    calibration_slope,
    num_bins_allowed,
)
from fedehr_shared.metrics.intervals import bootstrap_weights
from fedehr_simulations.outcome.held_out import HeldOut
from fedehr_simulations.verdict.result import (
    METRICS,
    Interval,
    Metric,
    Scores,
    SeedScores,
    TaskResult,
)

POOLED = "pooled over sites"
_SUBTRACTED = "withheld, or another site's count could be found by subtraction"


@dataclass(frozen=True)
class Rules:
    """How scores are made.

    Attributes:
        min_cell: a figure needs so many positives and so many negatives.
        num_bootstraps: replicates of each interval.
        num_calibration_bins: of the calibration error, at most.
    """

    min_cell: int
    num_bootstraps: int
    num_calibration_bins: int = 15

    @property
    def reason(self) -> str:
        """Why a figure is null."""
        return f"fewer than {self.min_cell} positives or negatives"


@dataclass(frozen=True)
class TaskData:
    """One task's known outcomes, with each seed's probabilities of one arm.

    Attributes:
        task: its name.
        sites: `[n]`.
        subjects: `[n]`, numbers of subjects.
        labels: `[n]`, 0 or 1.
        probabilities: by seed `[n]`.
    """

    task: str
    sites: NDArray[np.str_]
    subjects: NDArray[np.int64]
    labels: NDArray[np.float64]
    probabilities: tuple[NDArray[np.float64], ...]

    def at(self, rows: NDArray[np.bool_]) -> "TaskData":
        """Some of the rows."""
        return TaskData(
            self.task,
            self.sites[rows],
            self.subjects[rows],
            self.labels[rows],
            tuple(seed[rows] for seed in self.probabilities),
        )

    def seeds(self, begin: int, end: int | None) -> "TaskData":
        """Some of the seeds."""
        own = self.probabilities[begin:end]
        return TaskData(self.task, self.sites, self.subjects, self.labels, own)

    def is_told(self, min_cell: int) -> bool:
        """Whether there are enough positives and negatives."""
        return min(self.num_positive, self.labels.size - self.num_positive) >= min_cell

    @property
    def num_positive(self) -> int:
        """The number of positives."""
        return int(self.labels.sum())

    def weights(self, place: str, num_bootstraps: int) -> NDArray[np.int16]:
        """Replicates over subjects, spread over their rows. Shape: `[replicates, n]`."""
        members, numbers = np.unique(self.subjects, return_inverse=True)
        drawn = bootstrap_weights(members.size, num_bootstraps, "comparison", place, self.task)
        return drawn[:, numbers]


def task_data(
    held_out: HeldOut, column: int, probabilities: Sequence[NDArray[np.float64]]
) -> TaskData:
    """The rows of a task that have an outcome and, in every seed, a prediction.

    Args:
        held_out: the examples.
        column: the task's place.
        probabilities: by seed `[rows, tasks]`.
    """
    known = ~np.isnan(held_out.labels[:, column])
    for seed in probabilities:
        known &= ~np.isnan(seed[:, column])
    return TaskData(
        held_out.tasks[column],
        held_out.sites[known],
        held_out.subjects[known],
        held_out.labels[known, column],
        tuple(seed[known, column] for seed in probabilities),
    )


def score_task(
    data: TaskData,
    site_names: Sequence[str],
    rules: Rules,
    *,
    missing: Mapping[str, str],
    oracle: float | None = None,
) -> TaskResult:
    """Pooled, by site and by seed.

    Args:
        data: from `task_data`.
        site_names: all sites.
        rules: what may be told.
        missing: by site, why the arm has no model for it.
        oracle: AUROC of the true probabilities, where known.
    """
    by_site = {site: data.at(data.sites == site) for site in site_names}
    per_site = {
        site: _withheld(missing[site]) if site in missing else _scores(own, site, rules)
        for site, own in by_site.items()
    }
    pooled = _scores(data, POOLED, rules)
    return TaskResult(
        **dict(pooled),
        per_site=_without_differences(per_site, by_site, rules.min_cell),
        worst_site=_worst_site(per_site),
        per_seed=_per_seed(data) if pooled.reason is None else SeedScores(),
        oracle=oracle,
    )


def paired_difference(ours: TaskData, theirs: TaskData, metric: Metric, rules: Rules) -> Interval:
    """`ours` minus `theirs`; both must hold the same rows."""
    if not ours.is_told(rules.min_cell):
        return Interval.withheld(rules.reason)
    found = intervals.paired_interval(
        metric,
        ours.labels,
        ours.probabilities,
        theirs.probabilities,
        ours.weights(POOLED, rules.num_bootstraps),
    )
    return Interval(value=found.value, low=found.low, high=found.high)


def _scores(data: TaskData, place: str, rules: Rules) -> Scores:
    if not data.is_told(rules.min_cell):
        return _withheld(rules.reason)
    weights = data.weights(place, rules.num_bootstraps)
    figures: dict[str, Interval] = {}
    for metric in METRICS:
        found = intervals.metric_interval(metric, data.labels, data.probabilities, weights)
        figures[metric] = Interval(value=found.value, low=found.low, high=found.high)
    num, num_positive = int(data.labels.size), data.num_positive
    calibration = _calibration(data, weights, rules)
    return Scores(
        num=num,
        num_positive=num_positive,
        auroc=figures["auroc"],
        auprc=figures["auprc"],
        brier=figures["brier"],
        calibration_error=calibration["calibration_error"],
        calibration_slope=calibration["calibration_slope"],
    )


def _calibration(
    data: TaskData, weights: NDArray[np.int16], rules: Rules
) -> dict[str, Interval | None]:
    """Error and slope with intervals; None where a seed's slope is not finite."""
    most = num_bins_allowed(data.labels.size, rules.num_calibration_bins, rules.min_cell)
    metrics = {"calibration_error": calibration_error(most), "calibration_slope": calibration_slope}
    found: dict[str, Interval | None] = {}
    for name, metric in metrics.items():
        # A fit for each replicate takes its time; 200 give ends to two digits.
        told = intervals.metric_interval(metric, data.labels, data.probabilities, weights[:200])
        is_finite = np.isfinite([told.value, told.low, told.high]).all()
        found[name] = (
            Interval(value=told.value, low=told.low, high=told.high) if is_finite else None
        )
    return found


def _worst_site(per_site: Mapping[str, Scores]) -> str | None:
    told = {s: own.auroc.value for s, own in per_site.items() if own.auroc.value is not None}
    return min(told, key=lambda site: (told[site], site), default=None)


def _withheld(reason: str) -> Scores:
    none = Interval.withheld(reason)
    return Scores(num=None, num_positive=None, reason=reason, auroc=none, auprc=none, brier=none)


def _without_differences(
    per_site: Mapping[str, Scores], data: Mapping[str, TaskData], min_cell: int
) -> dict[str, Scores]:
    """Hide further counts until the hidden ones together pass the cell rule.

    Pooled counts minus the sites' would otherwise tell what was withheld.
    """
    told = dict(per_site)
    while True:
        hidden = [data[site] for site in told if told[site].num is None]
        positives = sum(own.num_positive for own in hidden)
        negatives = sum(int(own.labels.size) for own in hidden) - positives
        rest = [site for site in told if told[site].num is not None]
        if not rest or all(num == 0 or num >= min_cell for num in (positives, negatives)):
            return told
        least = min(rest, key=lambda site: (data[site].labels.size, site))
        counts = {"num": None, "num_positive": None, "reason": _SUBTRACTED}
        told[least] = told[least].model_copy(update=counts)


def _per_seed(data: TaskData) -> SeedScores:
    once = np.ones((1, data.labels.size), dtype=np.int16)
    points = {
        metric: tuple(
            intervals.metric_interval(metric, data.labels, [seed], once).value
            for seed in data.probabilities
        )
        for metric in METRICS
    }
    return SeedScores(**points)
