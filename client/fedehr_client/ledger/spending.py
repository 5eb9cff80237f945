"""`Spending`: what a list of charges comes to."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from fedehr_client.ledger.entry import Entry, Reserved
from fedehr_shared.privacy.noisy_steps import NoisySteps, merged


@dataclass(frozen=True)
class Spending:
    """One history of noisy steps, and what was spent of delta beside it.

    Attributes:
        history: equal steps added up.
        naming_delta: the chances together that a vocabulary names a code of one subject alone.
    """

    history: tuple[NoisySteps, ...] = ()
    naming_delta: float = 0.0

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "Spending":
        """What these lines of a ledger charge."""
        charged = [entry for entry in entries if isinstance(entry, Reserved)]
        steps = merged(entry.steps for entry in charged)
        return cls(steps, math.fsum(entry.naming_delta for entry in charged))

    def plus(self, other: "Spending") -> "Spending":
        """Both together."""
        steps = merged((*self.history, *other.history))
        return Spending(steps, self.naming_delta + other.naming_delta)

    def subject_epsilon(self, delta: float) -> float:
        """Epsilon at `delta`, one subject added or removed; infinite where `delta` is used up.

        The chance of naming is no noise's: it is taken off `delta` first (if a mechanism is
        private but for an event of chance d, that d adds to its delta).
        """
        from fedehr_shared.privacy.rdp import subject_epsilon

        if not self.history:
            return 0.0
        left = delta - self.naming_delta
        if not left > 0:
            return math.inf
        epsilon = subject_epsilon(self.history, left)
        return epsilon if epsilon >= 0 else math.inf
