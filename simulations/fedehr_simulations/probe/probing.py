"""`probe_tasks`: linear probes with all labels and with few, and their AUROC with intervals.

The penalty is chosen on the tuning split. A probe with few labels may look at no more of
them there either: a choice made on thousands would not be open to who has hundreds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedehr_shared.meds.schema import HELD_OUT, TRAIN, TUNING
from fedehr_shared.metrics.intervals import bootstrap_weights, metric_interval
from fedehr_simulations.probe.encodings import Encodings
from fedehr_simulations.probe.label_draws import drawn_rows
from fedehr_simulations.probe.linear_probe import LabelledVectors, fit_probe
from fedehr_simulations.verdict.result import Count, Interval, Part, Text


@dataclass(frozen=True)
class ProbeRules:
    """How probes are scored.

    Attributes:
        min_cell: a score needs so many held-out positives and so many negatives.
        num_bootstraps: replicates of each interval.
        label_numbers: how many labels of the federation a probe sees; None: all.
        num_draws: draws of few labels, whose mean AUROC is told.
    """

    min_cell: int
    num_bootstraps: int
    label_numbers: tuple[int | None, ...] = (None, 256)
    num_draws: int = 3


class ProbeScore(Part):
    """AUROC on the held-out subjects of all sites."""

    task: Text
    num_labels: Count | None
    """Labels that each probe saw, null: all of the train split."""
    num_draws: Annotated[int, Field(ge=1)]
    auroc: Interval
    """The mean over draws, with a 95 % interval over subjects."""


@dataclass(frozen=True)
class ProbedTask:
    """One task's probes on the held-out examples that have a label.

    Attributes:
        task: its name.
        num_labels: labels that each probe saw; None: all.
        labels: `[n]`, 0 or 1.
        subjects: `[n]`, numbers of subjects from 0.
        scores: by draw `[n]`, log-odds.
    """

    task: str
    num_labels: int | None
    labels: NDArray[np.float64]
    subjects: NDArray[np.int64]
    scores: tuple[NDArray[np.float64], ...]

    def is_told(self, min_cell: int) -> bool:
        """Whether there are enough positives and negatives."""
        return bool(min(self.labels.sum(), (1 - self.labels).sum()) >= min_cell)

    def weights(self, num_bootstraps: int) -> NDArray[np.int16]:
        """Replicates over subjects, the same for every encoder. `[replicates, n]`."""
        num_subjects = int(self.subjects.max()) + 1
        return bootstrap_weights(num_subjects, num_bootstraps, "probe", self.task)[:, self.subjects]

    def score(self, rules: ProbeRules) -> ProbeScore:
        """AUROC with its interval."""
        if self.is_told(rules.min_cell):
            weights = self.weights(rules.num_bootstraps)
            found = metric_interval("auroc", self.labels, self.scores, weights)
            auroc = Interval(value=found.value, low=found.low, high=found.high)
        else:
            auroc = Interval.withheld(f"fewer than {rules.min_cell} positives or negatives")
        return ProbeScore(
            task=self.task,
            num_labels=self.num_labels,
            num_draws=len(self.scores),
            auroc=auroc,
        )


def probe_tasks(
    encodings: Mapping[str, Encodings], tasks: Sequence[str], rules: ProbeRules
) -> tuple[ProbedTask, ...]:
    """Fit every task with every number of labels.

    Args:
        encodings: by split.
        tasks: names of the columns of the labels.
        rules: from how many labels.
    """
    return tuple(
        _probe(encodings, task, column, num_labels, rules.num_draws)
        for column, task in enumerate(tasks)
        for num_labels in rules.label_numbers
    )


def _probe(
    encodings: Mapping[str, Encodings],
    task: str,
    column: int,
    num_labels: int | None,
    num_draws: int,
) -> ProbedTask:
    rows = drawn_rows(encodings[HELD_OUT].labels[:, column], None)
    held_out = encodings[HELD_OUT].at(rows)
    scores: list[NDArray[np.float64]] = []
    for draw in range(1 if num_labels is None else num_draws):
        train, tuning = (
            _labelled(encodings[split], column, num_labels, (split, task, draw))
            for split in (TRAIN, TUNING)
        )
        scores.append(fit_probe(train, tuning).score(held_out.vectors))
    labels = held_out.labels[:, column]
    return ProbedTask(task, num_labels, labels, held_out.subjects, tuple(scores))


def _labelled(
    encodings: Encodings, column: int, num_labels: int | None, seed_parts: tuple[str | int, ...]
) -> LabelledVectors:
    labels = encodings.labels[:, column]
    rows = drawn_rows(labels, num_labels, *seed_parts)
    return LabelledVectors(encodings.vectors[rows], labels[rows])
