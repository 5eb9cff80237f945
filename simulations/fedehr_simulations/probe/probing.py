"""`probe_tasks`: AUROC of linear probes with all labels and with few, with intervals.

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


def probe_tasks(
    encodings: Mapping[str, Encodings], tasks: Sequence[str], rules: ProbeRules
) -> tuple[ProbeScore, ...]:
    """Fit and score every task with every number of labels.

    Args:
        encodings: by split.
        tasks: names of the columns of the labels.
        rules: what may be told, and from how many labels.
    """
    return tuple(
        _score(encodings, task, column, num_labels, rules)
        for column, task in enumerate(tasks)
        for num_labels in rules.label_numbers
    )


def _score(
    encodings: Mapping[str, Encodings],
    task: str,
    column: int,
    num_labels: int | None,
    rules: ProbeRules,
) -> ProbeScore:
    num_draws = 1 if num_labels is None else rules.num_draws
    rows = drawn_rows(encodings[HELD_OUT].labels[:, column], None)
    held_out = encodings[HELD_OUT].at(rows)
    labels = held_out.labels[:, column]
    if min(labels.sum(), (1 - labels).sum()) < rules.min_cell:
        reason = f"fewer than {rules.min_cell} positives or negatives"
        auroc = Interval.withheld(reason)
        return ProbeScore(task=task, num_labels=num_labels, num_draws=num_draws, auroc=auroc)
    scores: list[NDArray[np.float64]] = []
    for draw in range(num_draws):
        train, tuning = (
            _labelled(encodings[split], column, num_labels, (split, task, draw))
            for split in (TRAIN, TUNING)
        )
        scores.append(fit_probe(train, tuning).score(held_out.vectors))
    subjects = held_out.subjects
    drawn = bootstrap_weights(int(subjects.max()) + 1, rules.num_bootstraps, "probe", task)
    found = metric_interval("auroc", labels, scores, drawn[:, subjects])
    auroc = Interval(value=found.value, low=found.low, high=found.high)
    return ProbeScore(task=task, num_labels=num_labels, num_draws=num_draws, auroc=auroc)


def _labelled(
    encodings: Encodings, column: int, num_labels: int | None, seed_parts: tuple[str | int, ...]
) -> LabelledVectors:
    labels = encodings.labels[:, column]
    rows = drawn_rows(labels, num_labels, *seed_parts)
    return LabelledVectors(encodings.vectors[rows], labels[rows])
