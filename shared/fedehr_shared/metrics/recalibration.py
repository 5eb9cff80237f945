"""Logistic regression of outcomes on a model's own log-odds, for many weightings at once."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_LOG_ODDS = 16.0
"""Beyond it, within 1e-7 of 0 or 1, probabilities count as this far."""
_MOST_STEPS, _MOST_HALVINGS = 40, 12
_SMALL_GRADIENT = 1e-9
_SEPARATED_LOSS = 1e-4


def log_odds(probabilities: Floats) -> Floats:
    """`log(p / (1 - p))` within `MOST_LOG_ODDS`. Shape: as given."""
    with np.errstate(divide="ignore"):
        odds = np.log(probabilities) - np.log1p(-probabilities)
    return np.asarray(np.clip(odds, -MOST_LOG_ODDS, MOST_LOG_ODDS))


def sigmoid(logits: Floats) -> Floats:
    """`1 / (1 + exp(-x))` without overflow. Shape: as given."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))


def fit_line(
    labels: Floats, logits: Floats, weights: Floats, *, has_intercept: bool = True
) -> tuple[Floats, Floats]:
    """Slope and intercept of the most likely recalibration (Cox 1958), by Newton's method.

    Args:
        labels: `[n]`, 0 or 1.
        logits: `[n]`.
        weights: `[replicates, n]`.
        has_intercept: else it is zero, and the slope is one over a temperature.

    Returns:
        Two of `[replicates]`; NaN where a class is missing, all logits are the same, or the
        logits part the classes without a fault, so that no finite slope is best.
    """
    center, scale = (logits.mean(), logits.std()) if has_intercept else (0.0, _size(logits))
    if logits.size == 0 or scale < 1e-9:
        nothing = np.full(weights.shape[0], np.nan)
        return nothing, nothing.copy()
    fit = _Fit(labels, (logits - center) / scale, weights, has_intercept)
    line = fit.solve()
    return line[:, 0] / scale, line[:, 1] - line[:, 0] * center / scale


class _Fit:
    """Newton steps on standardized logits, each halved until the loss falls."""

    def __init__(self, labels: Floats, logits: Floats, weights: Floats, intercept: bool) -> None:
        self._signs = 2 * labels - 1
        self._labels = labels
        self._logits = logits
        self._weights = weights
        self._total = weights.sum(axis=1)
        self._has_intercept = float(intercept)
        positives = weights @ labels
        self._is_open = (positives > 0) & (positives < self._total)

    def solve(self) -> Floats:
        """Slope and intercept of each replicate. `[replicates, 2]`.

        From zero, where the loss bends most. At a model that is far too sure it is flat, and no
        step would be small enough.
        """
        line = np.zeros((self._total.size, 2))
        loss = self._loss(line)
        for _ in range(_MOST_STEPS):
            step, gradient = self._step(line)
            if not (self._is_open & (gradient > _SMALL_GRADIENT)).any():
                break
            line, loss = self._descend(line, step, loss)
        _, gradient = self._step(line)
        is_found = self._is_open & (gradient <= 1e-6) & (loss > _SEPARATED_LOSS)
        return np.where(is_found[:, None], line, np.nan)

    def _descend(self, line: Floats, step: Floats, loss: Floats) -> tuple[Floats, Floats]:
        size = np.ones((line.shape[0], 1))
        for _ in range(_MOST_HALVINGS):
            tried = line + size * step
            found = self._loss(tried)
            is_worse = ~(found <= loss)
            if not is_worse.any():
                break
            size[is_worse] /= 2
        return np.where(is_worse[:, None], line, tried), np.where(is_worse, loss, found)

    def _margins(self, line: Floats) -> Floats:
        return np.asarray(line[:, :1] * self._logits + line[:, 1:])

    def _loss(self, line: Floats) -> Floats:
        losses = np.logaddexp(0.0, -self._signs * self._margins(line))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((self._weights * losses).sum(axis=1) / self._total)

    def _step(self, line: Floats) -> tuple[Floats, Floats]:
        """The Newton step `[replicates, 2]`, and the gradient's greatest element."""
        x = self._logits
        told = sigmoid(self._margins(line))
        residual = self._weights * (self._labels - told)
        spread = self._weights * told * (1 - told)
        of_slope, of_intercept = residual @ x, residual.sum(axis=1) * self._has_intercept
        xx, x1, one = spread @ (x * x), spread @ x, spread.sum(axis=1)
        if not self._has_intercept:
            x1, one = np.zeros_like(x1), np.ones_like(one)
        determinant = np.maximum(xx * one - x1 * x1, 1e-12)
        step = np.stack(
            [one * of_slope - x1 * of_intercept, xx * of_intercept - x1 * of_slope], axis=1
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            gradient = np.maximum(np.abs(of_slope), np.abs(of_intercept)) / self._total
        return step / determinant[:, None], gradient


def _size(logits: Floats) -> float:
    return float(np.sqrt(np.mean(logits**2))) if logits.size else 0.0
