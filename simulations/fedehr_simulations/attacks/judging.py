"""`judge_attack`: an attack's scores as figures with intervals, beside what epsilon allows."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.metrics.binary import Metric
from fedehr_shared.metrics.intervals import bootstrap_weights, metric_interval
from fedehr_simulations.attacks.bound import PrivacyBound
from fedehr_simulations.attacks.model_told import AttackedModel
from fedehr_simulations.attacks.operating_points import cross_fitted_calls, tpr_at
from fedehr_simulations.verdict.membership import AttackBound, MembershipAttack, RatePoint
from fedehr_simulations.verdict.result import Interval

CURVE_RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
LEAST_FALSE_ALARMS = 5
"""A rate of false alarms is told where so many non-members make it up."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AttackName:
    """Which attack on which model."""

    arm: str
    model: AttackedModel
    attack: Literal["loss", "lira"]
    num_shadows: int = 0


@dataclass(frozen=True)
class Guesses:
    """An attacker's scores and the truth.

    Attributes:
        scores: `[subjects]`, higher for members; NaN where nothing is known.
        is_member: `[subjects]`.
        subject_ids: `[subjects]`, replicates draw them; one that two sites know stands twice.
    """

    scores: Floats
    is_member: NDArray[np.bool_]
    subject_ids: NDArray[np.int64]

    def known(self) -> "Guesses":
        """Those with a score."""
        rows = ~np.isnan(self.scores)
        return Guesses(self.scores[rows], self.is_member[rows], self.subject_ids[rows])


def judge_attack(
    name: AttackName,
    guesses: Guesses,
    bound: PrivacyBound | None,
    *,
    min_cell: int,
    num_bootstraps: int,
) -> MembershipAttack:
    """Figures of one attack.

    Args:
        name: which.
        guesses: what it guessed.
        bound: of the model's training; None: no noise covers all of it.
        min_cell: figures need so many members and so many non-members.
        num_bootstraps: replicates of each interval.
    """
    known = guesses.known()
    num_members = int(known.is_member.sum())
    num_others = known.is_member.size - num_members
    told = _told_bound(bound)
    if min(num_members, num_others) < min_cell:
        return _withheld(name, f"fewer than {min_cell} members or non-members", told)
    labels = known.is_member.astype(np.float64)
    weights = _weights(known.subject_ids, num_bootstraps)
    calls = cross_fitted_calls(labels, known.scores, known.subject_ids)
    return MembershipAttack(
        arm=name.arm,
        model=name.model,
        attack=name.attack,
        num_shadows=name.num_shadows,
        num_members=num_members,
        num_non_members=num_others,
        auroc=_interval("auroc", labels, known.scores, weights),
        # Of calls, the area is the mean of TPR and 1 - FPR.
        balanced_accuracy=_interval("auroc", labels, calls, weights),
        tpr_at_1_percent=_tpr(0.01, labels, known.scores, weights),
        tpr_at_0_1_percent=_tpr(0.001, labels, known.scores, weights),
        curve=_curve(labels, known.scores, bound),
        bound=told,
    )


def _weights(subject_ids: NDArray[np.int64], num_bootstraps: int) -> NDArray[np.int16]:
    subjects, numbers = np.unique(subject_ids, return_inverse=True)
    return bootstrap_weights(subjects.size, num_bootstraps, "attack")[:, numbers]


def _interval(
    metric: str | Metric, labels: Floats, scores: Floats, weights: NDArray[np.int16]
) -> Interval:
    found = metric_interval(metric, labels, [scores], weights)
    return Interval(value=found.value, low=found.low, high=found.high)


def _tpr(fpr: float, labels: Floats, scores: Floats, weights: NDArray[np.int16]) -> Interval:
    least = round(LEAST_FALSE_ALARMS / fpr)
    if labels.size - labels.sum() < least:
        return Interval.withheld(f"fewer than {least:,} non-members")
    return _interval(tpr_at(fpr), labels, scores, weights)


def _curve(labels: Floats, scores: Floats, bound: PrivacyBound | None) -> tuple[RatePoint, ...]:
    num_others = labels.size - labels.sum()
    once = np.ones((1, labels.size))
    return tuple(
        RatePoint(
            fpr=fpr,
            tpr=float(tpr_at(fpr)(labels, scores, once)[0]),
            greatest_tpr=None if bound is None else bound.greatest_tpr(fpr),
        )
        for fpr in CURVE_RATES
        if fpr * num_others >= LEAST_FALSE_ALARMS
    )


def _told_bound(bound: PrivacyBound | None) -> AttackBound | None:
    if bound is None:
        return None
    return AttackBound(
        epsilon=bound.epsilon,
        delta=bound.delta,
        auroc=bound.greatest_auroc,
        balanced_accuracy=bound.greatest_balanced_accuracy,
        tpr_at_1_percent=bound.greatest_tpr(0.01),
        tpr_at_0_1_percent=bound.greatest_tpr(0.001),
    )


def _withheld(name: AttackName, reason: str, bound: AttackBound | None) -> MembershipAttack:
    none = Interval.withheld(reason)
    return MembershipAttack(
        arm=name.arm,
        model=name.model,
        attack=name.attack,
        num_shadows=name.num_shadows,
        num_members=None,
        num_non_members=None,
        auroc=none,
        balanced_accuracy=none,
        tpr_at_1_percent=none,
        tpr_at_0_1_percent=none,
        bound=bound,
        reason=reason,
    )
