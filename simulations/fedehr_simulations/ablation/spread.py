"""`Spread`: a figure over seeds."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over seeds (None for one seed)."""

    mean: float
    deviation: float | None
    num: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Spread | None":
        """Over the values that there are; None where there is none."""
        told = [value for value in values if value is not None]
        if not told:
            return None
        deviation = statistics.stdev(told) if len(told) > 1 else None
        return cls(statistics.fmean(told), deviation, len(told))

    def text(self, digits: int) -> str:
        """`5.137 +/- 0.012`, with the sign for it."""
        if self.deviation is None:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} \u00b1 {self.deviation:.{digits}f}"
