"""What an attacker gains at a chosen rate of false alarms, for many replicates at once."""

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.metrics.binary import Metric
from fedehr_shared.seeds import derive_generator

Floats = NDArray[np.float64]


def tpr_at(fpr: float) -> Metric:
    """The metric: the highest rate of members found with at most `fpr` false alarms.

    Subjects of one score are called together. Shapes as in `fedehr_shared.metrics.binary`: labels
    (1: member) and scores `[n]`, weights `[replicates, n]` to `[replicates]`.
    """

    def metric(labels: Floats, scores: Floats, weights: Floats) -> Floats:
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        found = np.cumsum(weights[:, order] * labels[order], axis=1)
        alarms = np.cumsum(weights[:, order] * (1 - labels[order]), axis=1)
        allowed = fpr * alarms[:, -1:]
        called = np.where(alarms[:, ends] <= allowed + 1e-9, found[:, ends], 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(called.max(axis=1) / found[:, -1])

    return metric


def cross_fitted_calls(labels: Floats, scores: Floats, groups: NDArray[np.int64]) -> Floats:
    """Each subject called a member (1) or not (0) by the threshold that is best on other subjects.

    A threshold chosen where it is judged would look better than it is.

    Args:
        labels: `[n]`, 1 for members.
        scores: `[n]`.
        groups: `[n]`, equal for rows of one subject, which stay in one half.

    Shape: `[n]`.
    """
    members, numbers = np.unique(groups, return_inverse=True)
    halves = derive_generator("attack", "halves", members.size).permutation(members.size) % 2
    own = halves[numbers]
    calls = np.zeros(scores.size)
    for half in (0, 1):
        threshold = _best_threshold(labels[own != half], scores[own != half])
        calls[own == half] = scores[own == half] >= threshold
    return calls


def _best_threshold(labels: Floats, scores: Floats) -> float:
    """Where TPR minus FPR is highest."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    num_members = max(1.0, float(labels.sum()))
    num_others = max(1.0, float(labels.size - labels.sum()))
    gained = np.cumsum(labels[order])[ends] / num_members
    lost = np.cumsum(1 - labels[order])[ends] / num_others
    return float(ordered[ends[int(np.argmax(gained - lost))]])
