"""`Replicated`: a figure with its bootstrap replicates, so that two can be compared in pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.metrics.binary import auroc
from fedehr_shared.metrics.intervals import bootstrap_weights
from fedehr_shared.seeds import derive_generator
from fedehr_simulations.verdict.result import Interval

_CHUNK = 250


@dataclass(frozen=True)
class Replicated:
    """A figure.

    Attributes:
        value: of all subjects.
        replicates: `[replicates]`, of subjects drawn anew; NaN where one cannot be told.
    """

    value: float
    replicates: NDArray[np.float64]

    def minus(self, other: "Replicated") -> "Replicated":
        """The difference, paired: both must stand on the same replicates."""
        return Replicated(self.value - other.value, self.replicates - other.replicates)

    def interval(self) -> Interval:
        """The value with its 95 % percentile interval (Efron 1979)."""
        low, high = np.nanpercentile(self.replicates, [2.5, 97.5])
        return Interval(value=self.value, low=float(low), high=float(high))


def mean_of(parts: Sequence[Replicated]) -> Replicated:
    """The mean of figures that stand on the same replicates."""
    values = [part.value for part in parts]
    return Replicated(float(np.mean(values)), np.mean([part.replicates for part in parts], axis=0))


def subject_weights(num_subjects: int, num: int, split: str) -> NDArray[np.int16]:
    """How often each subject of a split is drawn: the same for all tasks and encoders.

    Shape: `[num, num_subjects]`.
    """
    return bootstrap_weights(num_subjects, num, "probe", split)


def replicated_auroc(
    labels: NDArray[np.float64],
    scores_by_draw: Sequence[NDArray[np.float64]],
    weights: NDArray[np.int16],
) -> Replicated:
    """The mean AUROC over draws of labels; a replicate draws subjects and draws of labels anew.

    Args:
        labels: `[n]`, 0 or 1.
        scores_by_draw: of each draw `[n]`.
        weights: `[replicates, n]`.
    """
    once = np.ones((1, labels.size))
    value = float(np.mean([auroc(labels, scores, once)[0] for scores in scores_by_draw]))
    shares = _draw_shares(len(weights), len(scores_by_draw))
    replicates = np.zeros(len(weights))
    for begin in range(0, len(weights), _CHUNK):
        rows = slice(begin, begin + _CHUNK)
        chunk = weights[rows].astype(np.float64)
        for draw, scores in enumerate(scores_by_draw):
            replicates[rows] += shares[rows, draw] * auroc(labels, scores, chunk)
    return Replicated(value, replicates)


def _draw_shares(num_replicates: int, num_draws: int) -> NDArray[np.float64]:
    """How much each draw of labels counts in each replicate: `[replicates, draws]`."""
    if num_draws == 1:
        return np.ones((num_replicates, 1))
    generator = derive_generator("probe", "draws", num_replicates, num_draws)
    counts = generator.multinomial(num_draws, np.full(num_draws, 1 / num_draws), num_replicates)
    return np.asarray(counts / num_draws)
