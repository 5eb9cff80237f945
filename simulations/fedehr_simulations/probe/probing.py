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


@dataclass(frozen=True)
class Question:
    """A task, and with how many labels it is learnt.

    Attributes:
        task: its name.
        column: of the labels.
        num_labels: None: all of the train split.
    """

    task: str
    column: int
    num_labels: int | None


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
        subjects: `[n]`, numbers of subjects from 0, the same for all tasks.
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
    encodings: Mapping[str, Encodings],
    tasks: Sequence[str],
    rules: ProbeRules,
    scored: str = HELD_OUT,
) -> tuple[ProbedTask, ...]:
    """Fit every task with every number of labels.

    Args:
        encodings: by split.
        tasks: names of the columns of the labels.
        rules: from how many labels.
        scored: the split whose examples the probes score.
    """
    return tuple(
        probe_question(encodings, question, rules.num_draws, scored)
        for question in questions(tasks, rules.label_numbers)
    )


def questions(tasks: Sequence[str], label_numbers: Sequence[int | None]) -> tuple[Question, ...]:
    """Every task with every number of labels."""
    return tuple(
        Question(task, column, num_labels)
        for column, task in enumerate(tasks)
        for num_labels in label_numbers
    )


def probe_question(
    encodings: Mapping[str, Encodings],
    question: Question,
    num_draws: int,
    scored: str = HELD_OUT,
) -> ProbedTask:
    """Fit one task with one number of labels: one probe a draw of few labels.

    Args:
        encodings: by split.
        question: which.
        num_draws: of few labels.
        scored: the split whose examples the probes score.
    """
    column, num_labels = question.column, question.num_labels
    rows = drawn_rows(encodings[scored].labels[:, column], None)
    told = encodings[scored].at(rows)
    scores: list[NDArray[np.float64]] = []
    for draw in range(1 if num_labels is None else num_draws):
        train, tuning = (
            _labelled(encodings[split], column, num_labels, (split, question.task, draw))
            for split in (TRAIN, TUNING)
        )
        scores.append(fit_probe(train, tuning).score(told.vectors))
    return ProbedTask(
        task=question.task,
        num_labels=num_labels,
        labels=told.labels[:, column],
        subjects=encodings[scored].subjects[rows],
        scores=tuple(scores),
    )


def _labelled(
    encodings: Encodings, column: int, num_labels: int | None, seed_parts: tuple[str | int, ...]
) -> LabelledVectors:
    labels = encodings.labels[:, column]
    rows = drawn_rows(labels, num_labels, *seed_parts)
    return LabelledVectors(encodings.vectors[rows], labels[rows])
