"""`LinearProbe`: logistic regression with a squared penalty on frozen encodings, for one task."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.metrics.binary import auroc

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse strengths of the penalty (scikit-learn's C), strongest first."""
_SOLVER, _MAX_ITERATIONS = "newton-cholesky", 200
"""Newton's steps: few of them, for the few hundred directions of an encoding."""


@dataclass(frozen=True)
class LabelledVectors:
    """Vectors `[n, hidden]` with outcomes `[n]`, each 0 or 1."""

    vectors: NDArray[np.float64]
    outcomes: NDArray[np.float64]

    @property
    def has_both_classes(self) -> bool:
        """Whether there are positives and negatives."""
        return np.unique(self.outcomes).size == 2


@dataclass(frozen=True)
class LinearProbe:
    """A fitted probe.

    Attributes:
        mean: `[hidden]`, subtracted first.
        deviation: `[hidden]`, then divided by.
        fitted: scikit-learn's model; None where the training labels lacked a class.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    fitted: Any

    def score(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-odds, all 0 without a model. `[n, hidden]` to `[n]`."""
        if self.fitted is None or not len(vectors):
            return np.zeros(len(vectors))
        scaled = (vectors - self.mean) / self.deviation
        return np.asarray(self.fitted.decision_function(scaled), dtype=np.float64)


def fit_probe(train: LabelledVectors, tuning: LabelledVectors) -> LinearProbe:
    """Fit on `train` with each penalty; the strongest of those that rank `tuning` best stays."""
    deviation = train.vectors.std(axis=0) if len(train.vectors) else np.ones(1)
    mean = train.vectors.mean(axis=0) if len(train.vectors) else np.zeros(1)
    # A direction without spread has nothing to tell; it becomes 0.
    deviation = np.where(deviation > 0, deviation, 1.0)
    best, best_score = LinearProbe(mean, deviation, None), -1.0
    if not train.has_both_classes:
        return best
    from sklearn.linear_model import LogisticRegression

    for penalty in PENALTIES:
        fitted = LogisticRegression(C=penalty, solver=_SOLVER, max_iter=_MAX_ITERATIONS)
        fitted.fit((train.vectors - mean) / deviation, train.outcomes)
        probe = LinearProbe(mean, deviation, fitted)
        score = _auroc(tuning, probe)
        if score > best_score:
            best, best_score = probe, score
    return best


def _auroc(tuning: LabelledVectors, probe: LinearProbe) -> float:
    """A half where the tuning split lacks a class, so that the first penalty stands."""
    if not tuning.has_both_classes:
        return 0.5
    once = np.ones((1, tuning.outcomes.size))
    return float(auroc(tuning.outcomes, probe.score(tuning.vectors), once)[0])
