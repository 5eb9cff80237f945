"""`LeakageReport`: whether a task's labels can be read in their own input."""

from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

LIMIT = 0.9
"""A rule on one code that ranks better than this, surely, reads the label and predicts nothing."""
ENOUGH = 25
"""Positives and negatives each, below which no rule can be judged."""
_Z = 1.645  # one-sided 95 %


def lower_bound(auroc: float, num_positive: int, num_negative: int) -> float:
    """A cautious lower bound (95 %, one-sided) of an AUROC.

    The variance of the area A is at most A (1 - A) / min(m, n), whatever the distributions
    (van Dantzig 1951), which is that of a share among min(m, n); so Wilson's bound for a share
    holds (Wilson 1927). It stays below 1 where all pairs are ranked right.
    """
    num = min(num_positive, num_negative)
    if num == 0:
        return 0.0
    middle = auroc + _Z**2 / (2 * num)
    spread = _Z * sqrt(auroc * (1 - auroc) / num + _Z**2 / (4 * num**2))
    return (middle - spread) / (1 + _Z**2 / num)


@dataclass(frozen=True)
class Rule:
    """One simple rule over what is known from the visit's beginning to the prediction.

    Attributes:
        name: what it looks at.
        auroc: how well it ranks, in its better direction.
        low: its lower bound.
    """

    name: str
    auroc: float
    low: float


@dataclass(frozen=True)
class LeakageReport:
    """What the leakage test found; for the hospital's own eyes.

    Attributes:
        task: its name.
        num_positive: labels that are true.
        num_negative: labels that are false.
        visible: labelled subjects whose input shows, after the index event, an event that
            settles the label, by kind (`outcome`, `competing`, `death`,
            `end_of_stay`).
        rules: the best rules, best first; all that are above the limit are there.
        num_events_held_back: events that had happened by the prediction and were not yet
            known, as billing codes are; the input does not hold them.
        num_undelayed_billing_codes: codes of a billing vocabulary that are known at once. Right
            only where they are charted at the bedside.
    """

    task: str
    num_positive: int
    num_negative: int
    visible: dict[str, int]
    rules: tuple[Rule, ...]
    num_events_held_back: int
    num_undelayed_billing_codes: int

    @property
    def has_enough(self) -> bool:
        """Whether there are labels enough to judge the rules."""
        return min(self.num_positive, self.num_negative) >= ENOUGH

    @property
    def leaking_rules(self) -> tuple[Rule, ...]:
        """The rules that rank better than the limit, surely."""
        return tuple(rule for rule in self.rules if self.has_enough and rule.low > LIMIT)

    @property
    def best_low(self) -> float:
        """The lower bound of the best rule that there are labels enough for."""
        return max((rule.low for rule in self.rules if self.has_enough), default=0.0)

    @property
    def is_leaking(self) -> bool:
        """Whether the labels can be read in the input."""
        return any(self.visible.values()) or bool(self.leaking_rules)

    def explain(self) -> str:
        """What leaks, in a sentence; empty where nothing does."""
        seen = [
            f"{num} labelled subject(s) have an event of kind '{kind}' in their input, after the "
            "index event"
            for kind, num in self.visible.items()
            if num
        ]
        ranked = [
            f"'{rule.name}' alone ranks with AUROC {rule.auroc:.2f} (at least {rule.low:.2f})"
            for rule in self.leaking_rules[:3]
        ]
        return "; ".join([*seen, *ranked])

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "has_enough": self.has_enough, "is_leaking": self.is_leaking}
