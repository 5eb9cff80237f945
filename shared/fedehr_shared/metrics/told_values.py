"""In which steps a metric leaves a site, so that it tells no count exactly.

A rate is a whole number over a count, and so is an AUROC over a number of pairs. In full
precision it would tell the count itself, which leaves rounded (`cells.py`).
"""

import math

LEAST_STEP = 1e-4
_SIGNIFICANT = 4


def step_of(num: int, num_others: int = 1) -> float:
    """The step of a metric, so large that each number of subjects told alike allows its value.

    What `num` times `num_others` pairs or more can give is no further apart than one over
    `num * num_others`, so that for each true number some value rounds to the one told.

    Args:
        num: positives, or all subjects, as told.
        num_others: negatives, as told.
    """
    return max(LEAST_STEP, 1 / max(num * num_others, 1))


def in_steps(value: float, step: float) -> float:
    """`value` rounded to a multiple of `step`."""
    return round(round(value / step) * step, 10)


def rounded_value(value: float) -> float:
    """A number with a unit, to four significant digits."""
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, _SIGNIFICANT - 1 - math.floor(math.log10(abs(value))))
