"""`Calibration`: what a site learns on its tuning split and applies to held-out predictions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.task import TaskConfig
from fedehr_shared.metrics.outcomes import binary_views
from fedehr_shared.metrics.recalibration import fit_line, log_odds, sigmoid
from fedehr_shared.metrics.softmax_temperature import fit_inverse_temperature, sharpened

Floats = NDArray[np.float64]
_DECIMALS = 3


@dataclass(frozen=True)
class Calibration:
    """Log-odds are multiplied by `slope`, then `intercept` is added.

    Of several classes the logarithms of their probabilities are multiplied; there is no
    intercept then. Of a time to event the incidence by the horizon alone is changed.
    """

    slope: float
    intercept: float = 0.0

    def apply(self, task: TaskConfig, predictions: Floats) -> Floats:
        """`[n, outputs]` to the same."""
        if task.kind == "multiclass":
            return sharpened(predictions, self.slope)
        changed = predictions.copy()
        changed[:, -1] = sigmoid(self.slope * log_odds(predictions[:, -1]) + self.intercept)
        return changed


def fit_calibration(
    method: str, task: TaskConfig, labels: Floats, predictions: Floats, min_cell: int
) -> Calibration | None:
    """The calibration of one task, in three decimals.

    Args:
        method: `none`, `temperature` or `platt`; several classes have a temperature in both.
        task: its section of the study.
        labels: `[n]`, of the tuning split.
        predictions: `[n, outputs]`.
        min_cell: so many subjects of each of two classes are needed.

    Returns:
        None where the method is none, there are too few, or no finite slope above zero is best.
    """
    if method == "none" or task.kind == "regression":
        return None
    slope, intercept = (
        _of_classes(labels, predictions, min_cell)
        if task.kind == "multiclass"
        else _of_two(method, task, labels, predictions, min_cell)
    )
    if not (np.isfinite(slope) and 0 < round(slope, _DECIMALS) <= 1e3 and abs(intercept) <= 1e3):
        return None
    return Calibration(round(slope, _DECIMALS), round(intercept, _DECIMALS))


def _of_two(
    method: str, task: TaskConfig, labels: Floats, predictions: Floats, min_cell: int
) -> tuple[float, float]:
    (view,) = binary_views("", task, labels, predictions)
    outcomes = view.labels[view.known]
    if min(outcomes.sum(), (1 - outcomes).sum()) < min_cell:
        return float("nan"), 0.0
    logits = log_odds(view.probabilities[view.known])
    once = np.ones((1, outcomes.size))
    slope, intercept = fit_line(outcomes, logits, once, has_intercept=method == "platt")
    return float(slope[0]), float(intercept[0])


def _of_classes(labels: Floats, predictions: Floats, min_cell: int) -> tuple[float, float]:
    known = ~np.isnan(labels)
    classes = labels[known].astype(np.int64)
    counts = np.sort(np.bincount(classes, minlength=predictions.shape[1]))
    if counts[-2] < min_cell:
        return float("nan"), 0.0
    return fit_inverse_temperature(classes, predictions[known]), 0.0
