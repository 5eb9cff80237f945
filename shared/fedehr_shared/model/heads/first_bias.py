"""Where a head's bias starts: at what the label counts alone say."""

import math
from collections.abc import Sequence
from itertools import accumulate

from fedehr_shared.config.task import TaskConfig


def first_bias(
    task: TaskConfig, counts: Sequence[int], class_weights: Sequence[float], min_cell: int
) -> tuple[float, ...]:
    """The biases of a task's outputs.

    Binary: log-odds. Multiclass: log shares. Regression: 0, which is `center`. Time to event:
    log-odds of the share with the event in an interval among those without one before it, as if
    nobody were censored earlier.

    Args:
        task: its kind.
        counts: labelled subjects over the sites, by part (`TaskConfig.num_counts`).
        class_weights: of the loss, which moves the best bias as the counts do; empty: all 1.
        min_cell: a part told as 0 has fewer; half of it is taken.
    """
    if task.kind == "regression":
        return (0.0,)
    known = [max(num, min_cell / 2) for num in counts]
    if task.kind == "time_to_event":
        return _log_hazards(known)
    weights = class_weights or [1.0] * len(known)
    heavy = [num * weight for num, weight in zip(known, weights, strict=True)]
    if task.kind == "binary":
        return (math.log(heavy[1] / heavy[0]),)
    total = sum(heavy)
    return tuple(math.log(num / total) for num in heavy)


def _log_hazards(known: Sequence[float]) -> tuple[float, ...]:
    total = sum(known)
    left = [total - gone for gone in accumulate(known)]
    pairs = zip(known[:-1], left[:-1], strict=True)
    return tuple(math.log(num / after) for num, after in pairs)
