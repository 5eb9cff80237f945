"""One temperature for the probabilities of many classes (Guo et al. 2017)."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_MOST_STEPS = 50
_LEAST_PROBABILITY = 1e-12


def fit_inverse_temperature(labels: NDArray[np.int64], probabilities: Floats) -> float:
    """By how much logarithms of probabilities are best multiplied, by Newton's method.

    Args:
        labels: `[n]`, the class's place.
        probabilities: `[n, classes]`.

    Returns:
        NaN where no finite positive number is best.
    """
    logits = np.log(np.maximum(probabilities, _LEAST_PROBABILITY))
    told = logits[np.arange(labels.size), labels]
    factor = 1.0
    for _ in range(_MOST_STEPS):
        weights = sharpened(probabilities, factor)
        means = (weights * logits).sum(axis=1)
        spread = (weights * logits**2).sum() - (means**2).sum()
        if spread < 1e-9 * labels.size:
            return float("nan")
        step = float((told - means).sum() / spread)
        factor = float(np.clip(factor + step, factor / 3, factor * 3))
        if abs(step) < 1e-10:
            break
    return factor if 1e-3 < factor < 1e3 else float("nan")


def sharpened(probabilities: Floats, factor: float) -> Floats:
    """Probabilities whose logarithms were multiplied. Shape: `[n, classes]`."""
    logits = factor * np.log(np.maximum(probabilities, _LEAST_PROBABILITY))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
