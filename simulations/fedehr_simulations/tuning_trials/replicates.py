"""Figures with 95 % intervals over subjects and seeds, for one variant and between two.

Each replicate draws subjects and seeds, each with replacement and independently (Owen 2007, "The
pigeonhole bootstrap"): an interval holds what another cohort and other first weights would change.
All variants meet the same draws, so that differences and shares are paired.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.metrics.binary import METRICS
from fedehr_shared.metrics.intervals import bootstrap_weights
from fedehr_shared.seeds import derive_generator
from fedehr_simulations.tuning_trials.scores import SplitScores
from fedehr_simulations.verdict.result import Interval, Metric

Draws = NDArray[np.float64]
_CHUNK = 250


@dataclass(frozen=True)
class Replicates:
    """The draws.

    Attributes:
        of_examples: `[1 + replicates, n]`, how often each example counts; the first row once.
        of_seeds: `[1 + replicates, seeds]`, each row's shares of the seeds.
    """

    of_examples: NDArray[np.float64]
    of_seeds: NDArray[np.float64]

    @classmethod
    def of(cls, scores: SplitScores, num_seeds: int, num: int) -> "Replicates":
        """`num` replicates over the examples' subjects and over `num_seeds` seeds."""
        num_subjects = int(scores.subjects.max()) + 1
        drawn = bootstrap_weights(num_subjects, num, "tuning trials")[:, scores.subjects]
        seeds = derive_generator("bootstrap", "seeds", num_seeds, num)
        picked = seeds.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), num) / num_seeds
        return cls(
            np.concatenate([np.ones((1, scores.subjects.size)), drawn]),
            np.concatenate([np.full((1, num_seeds), 1 / num_seeds), picked]),
        )

    def metric(self, name: Metric, view: int, by_seed: Sequence[SplitScores]) -> Draws:
        """A metric's mean over seeds: first the figure itself, then one value a replicate."""
        told = np.stack([self._metric(name, view, scores) for scores in by_seed], axis=1)
        return np.asarray((told * self.of_seeds).sum(axis=1))

    def _metric(self, name: Metric, view: int, scores: SplitScores) -> Draws:
        known = scores.known(view)
        labels, probabilities = scores.labels[known, view], scores.probabilities[known, view]
        weights = self.of_examples[:, known]
        parts = [
            METRICS[name](labels, probabilities, weights[begin : begin + _CHUNK])
            for begin in range(0, weights.shape[0], _CHUNK)
        ]
        return np.concatenate(parts)


def interval_of(draws: Draws) -> Interval:
    """The figure with the 95 % percentile interval of its replicates."""
    low, high = np.nanpercentile(draws[1:], [2.5, 97.5])
    return Interval(value=float(draws[0]), low=float(low), high=float(high))
