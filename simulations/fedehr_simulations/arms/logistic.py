"""The logistic arm: scikit-learn's logistic regression on a pooled bag of tokens.

It reads the same tokens as the networks, all of them up to the prediction time, and the age.
How often or whether a token occurs, and the penalty, are chosen on the tuning split by AUROC.
It has no seed: every run gives the same model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.schema import TRAIN, TUNING
from fedehr_shared.metrics.binary import auroc
from fedehr_simulations.arms.bag_fit import FITTED, BagFit

LOGISTIC = "logistic"
PENALTIES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Inverse strengths of the squared penalty (scikit-learn's C), strongest first."""
_MAX_ITERATIONS = 5_000


class LogisticFit(BagFit):
    """The logistic arm; the study's seed changes nothing."""

    arm = LOGISTIC

    @property
    def title(self) -> str:
        """The fit in a few words."""
        return LOGISTIC

    def fit(
        self, features: Mapping[str, Any], labels: Mapping[str, NDArray[np.float64]]
    ) -> "TaskModel":
        """See `fit_task`."""
        return fit_task(features, labels)


@dataclass(frozen=True)
class TaskModel:
    """A fitted model; `fitted` is None where the train split lacks a class."""

    fitted: Any
    presence: bool

    def predict(self, features: Any) -> NDArray[np.float64]:
        """Probabilities: `[rows, tokens + 1]` to `[rows]`, NaN without a model."""
        if self.fitted is None or features.shape[0] == 0:
            return np.full(features.shape[0], np.nan)
        probabilities = self.fitted.predict_proba(_transform(features, self.presence))[:, 1]
        return np.asarray(probabilities, dtype=np.float64)


def fit_task(features: Mapping[str, Any], labels: Mapping[str, NDArray[np.float64]]) -> TaskModel:
    """The model that ranks the tuning split best; of equal ones the simplest.

    Args:
        features: by split, `[rows, tokens + 1]`: counts, and the scaled age last.
        labels: by split, `[rows]`: 0, 1 or NaN.
    """
    best, best_score = TaskModel(None, True), -1.0
    known = {split: ~np.isnan(labels[split]) for split in FITTED}
    outcome = {split: labels[split][known[split]] for split in FITTED}
    if np.unique(outcome[TRAIN]).size < 2:
        return best
    from sklearn.linear_model import LogisticRegression

    for presence in (True, False):
        rows = {s: _transform(features[s][np.flatnonzero(known[s])], presence) for s in FITTED}
        for penalty in PENALTIES:
            fitted = LogisticRegression(C=penalty, max_iter=_MAX_ITERATIONS)
            fitted.fit(rows[TRAIN], outcome[TRAIN])
            score = _tuning_score(fitted, rows[TUNING], outcome[TUNING])
            if score > best_score:
                best, best_score = TaskModel(fitted, presence), score
    return best


def _tuning_score(fitted: Any, rows: Any, outcome: NDArray[np.float64]) -> float:
    """AUROC; a half where the tuning split lacks a class, so that the first choice stands."""
    if np.unique(outcome).size < 2:
        return 0.5
    scores = np.asarray(fitted.decision_function(rows), dtype=np.float64)
    return float(auroc(outcome, scores, np.ones((1, outcome.size)))[0])


def _transform(features: Any, presence: bool) -> Any:
    """Counts become 0 or 1, or their log1p; the age stays."""
    from scipy.sparse import hstack

    counts = features[:, :-1]
    counts = (counts > 0).astype(np.float64) if presence else counts.log1p()
    return hstack([counts, features[:, -1:]], format="csr")
