"""`choose`: the encoding whose probe ranks the tuning split best, and which are tied with it.

What is compared here was made from the train and tuning splits; no label of a held-out subject
is at hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.schema import TRAIN, TUNING
from fedehr_simulations.probe.encodings import Encodings
from fedehr_simulations.probe.probing import ProbedTask, ProbeRules, probe_tasks
from fedehr_simulations.probe.replicated import (
    Replicated,
    mean_of,
    replicated_auroc,
    subject_weights,
)


@dataclass(frozen=True)
class TuningScore:
    """AUROC on the tuning split of probes with all labels of the train split.

    Attributes:
        by_task: None where there are too few positives or negatives.
        mean: over the tasks that there are; None without any.
    """

    by_task: Mapping[str, Replicated | None]
    mean: Replicated | None


@dataclass(frozen=True)
class Choice:
    """Which of several is best.

    Attributes:
        place: of the best.
        tied: places of those whose paired interval does not leave out that they are as good.
        reason: why there was nothing to choose by; then the first stands.
    """

    place: int
    tied: tuple[int, ...] = ()
    reason: str | None = None


def tuning_score(
    encodings: Mapping[str, Encodings], tasks: Sequence[str], rules: ProbeRules
) -> TuningScore:
    """Score one candidate.

    Args:
        encodings: by split; train and tuning are read.
        tasks: names of the columns of the labels.
        rules: what may be told.
    """
    seen = {split: encodings[split] for split in (TRAIN, TUNING)}
    probed = probe_tasks(seen, tasks, replace(rules, label_numbers=(None,)), TUNING)
    subjects = seen[TUNING].subjects
    weights = subject_weights(int(subjects.max(initial=0)) + 1, rules.num_bootstraps, TUNING)
    by_task = {task.task: _score(task, weights, rules.min_cell) for task in probed}
    told = [score for score in by_task.values() if score is not None]
    return TuningScore(by_task, mean_of(told) if told else None)


def choose(scores: Sequence[TuningScore], min_cell: int) -> Choice:
    """The highest mean; of equal ones the first.

    Args:
        scores: of the candidates, all on the same subjects.
        min_cell: for the reason.
    """
    means = [score.mean for score in scores if score.mean is not None]
    if len(means) < len(scores):
        return Choice(
            0,
            reason=f"the tuning split has fewer than {min_cell} positives or negatives of "
            "every task",
        )
    best = max(range(len(means)), key=lambda place: (means[place].value, -place))
    tied = tuple(
        place
        for place, mean in enumerate(means)
        if place != best and not _is_above(means[best].minus(mean))
    )
    return Choice(best, tied)


def _is_above(difference: Replicated) -> bool:
    low = difference.interval().low
    return low is not None and low > 0


def _score(task: ProbedTask, weights: NDArray[np.int16], min_cell: int) -> Replicated | None:
    if not task.is_told(min_cell):
        return None
    return replicated_auroc(task.labels, task.scores, weights[:, task.subjects])
