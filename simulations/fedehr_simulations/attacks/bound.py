"""`PrivacyBound`: what any attack on membership can reach at most, by (epsilon, delta)."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class PrivacyBound:
    """The region of error rates that (epsilon, delta)-DP leaves to an attacker (Wasserman and Zhou
    2010; Kairouz, Oh and Viswanath 2015, theorem 2.1).

    An attack that calls members with the rate TPR and non-members with the rate FPR has
    `TPR <= e^epsilon FPR + delta` and `1 - FPR <= e^epsilon (1 - TPR) + delta`. It holds for
    whoever attacks with whatever means, as long as the training data are all that tell of the
    subject.

    Attributes:
        epsilon: of one subject, added or removed.
        delta: the same.
    """

    epsilon: float
    delta: float

    def greatest_tpr(self, fpr: float) -> float:
        """The highest rate of members found at a rate of false alarms."""
        straight = fpr * math.exp(self.epsilon) + self.delta
        turned = 1 - (1 - self.delta - fpr) * math.exp(-self.epsilon)
        return min(straight, turned, 1.0)

    @property
    def greatest_balanced_accuracy(self) -> float:
        """The highest mean of TPR and 1 - FPR, where the two lines meet."""
        growth = math.exp(-self.epsilon)
        return (1 + (1 - growth + 2 * self.delta * growth) / (1 + growth)) / 2

    @property
    def greatest_auroc(self) -> float:
        """The area below `greatest_tpr`, which is made of three straight pieces."""
        growth = math.exp(-self.epsilon)
        meet = (1 - self.delta) * growth / (1 + growth)
        at_meet, end = self.greatest_tpr(meet), 1 - self.delta
        first = meet * (self.delta + at_meet) / 2
        return first + (end - meet) * (at_meet + 1) / 2 + self.delta
