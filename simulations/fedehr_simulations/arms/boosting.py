"""The boosting arm: scikit-learn's histogram gradient boosting on a pooled bag of tokens.

It reads what the logistic arm reads. How deep and how cautious the trees are and how many of them
count is chosen on the tuning split by AUROC.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.schema import TRAIN, TUNING
from fedehr_shared.metrics.binary import auroc
from fedehr_simulations.arms.bag_fit import FITTED, BagFit

BOOSTING = "boosting"
RATES, LEAVES, LEAST_IN_LEAF = (0.05, 0.15), (3, 8), (5, 20)
"""Learning rates, leaves of a tree, subjects of a leaf at least."""
MAX_TREES, TREES_STEP = 150, 10
"""Trees are added up to so many, and scored each time so many more have been."""


@dataclass(frozen=True)
class BoostedModel:
    """A fitted model of one task; `fitted` is None where the train split lacks a class.

    Attributes:
        fitted: scikit-learn's classifier.
        num_trees: the first so many count.
        columns: `[kept]`, the features that vary in training.
    """

    fitted: Any
    num_trees: int
    columns: NDArray[np.int64]

    def predict(self, features: Any) -> NDArray[np.float64]:
        """Probabilities: `[rows, tokens + 1]` to `[rows]`, NaN without a model."""
        if self.fitted is None or features.shape[0] == 0:
            return np.full(features.shape[0], np.nan)
        staged = self.fitted.staged_predict_proba(_dense(features, self.columns))
        told = next(islice(staged, self.num_trees - 1, None))
        return np.asarray(told[:, 1], dtype=np.float64)


class BoostingFit(BagFit):
    """The boosting arm; its seed is the study's."""

    arm = BOOSTING

    def fit(
        self, features: Mapping[str, Any], labels: Mapping[str, NDArray[np.float64]]
    ) -> "BoostedModel":
        """See `fit_boosting`."""
        return fit_boosting(features, labels, self.study.seed)


def fit_boosting(
    features: Mapping[str, Any], labels: Mapping[str, NDArray[np.float64]], seed: int
) -> BoostedModel:
    """The model that ranks the tuning split best; of equal ones the first and smallest.

    Args:
        features: by split, `[rows, tokens + 1]`: counts, and the scaled age last.
        labels: by split, `[rows]`: 0, 1 or NaN.
        seed: of scikit-learn.
    """
    known = {split: np.flatnonzero(~np.isnan(labels[split])) for split in FITTED}
    outcome = {split: labels[split][known[split]] for split in FITTED}
    none = np.empty(0, dtype=np.int64)
    best, best_score = BoostedModel(None, 0, none), -1.0
    if np.unique(outcome[TRAIN]).size < 2:
        return best
    columns = _varying(features[TRAIN][known[TRAIN]])
    rows = {split: _dense(features[split][known[split]], columns) for split in FITTED}
    for settings in product(RATES, LEAVES, LEAST_IN_LEAF):
        fitted = _fit(rows[TRAIN], outcome[TRAIN], settings, seed)
        for num_trees, score in _tuning_scores(fitted, rows[TUNING], outcome[TUNING]):
            if score > best_score:
                best, best_score = BoostedModel(fitted, num_trees, columns), score
    return best


def _fit(
    rows: NDArray[np.float32],
    outcome: NDArray[np.float64],
    settings: tuple[float, int, int],
    seed: int,
) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    rate, leaves, least = settings
    return HistGradientBoostingClassifier(
        learning_rate=rate,
        max_leaf_nodes=leaves,
        min_samples_leaf=least,
        max_iter=MAX_TREES,
        early_stopping=False,
        random_state=seed,
    ).fit(rows, outcome)


def _tuning_scores(
    fitted: Any, rows: NDArray[np.float32], outcome: NDArray[np.float64]
) -> list[tuple[int, float]]:
    """AUROC by number of trees; a half where the tuning split lacks a class."""
    if np.unique(outcome).size < 2:
        return [(TREES_STEP, 0.5)]
    once = np.ones((1, outcome.size))
    return [
        (number, float(auroc(outcome, np.asarray(scores, dtype=np.float64).ravel(), once)[0]))
        for number, scores in enumerate(fitted.staged_decision_function(rows), start=1)
        if number % TREES_STEP == 0
    ]


def _varying(features: Any) -> NDArray[np.int64]:
    """Columns that are not the same in all rows: no tree can ask about the others."""
    low, high = features.min(axis=0).toarray().ravel(), features.max(axis=0).toarray().ravel()
    return np.flatnonzero(low < high)


def _dense(features: Any, columns: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.asarray(features[:, columns].toarray(), dtype=np.float32)
