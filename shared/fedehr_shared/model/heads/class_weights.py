"""How much a label of each class weighs in its task's loss."""

from collections.abc import Sequence

from fedehr_shared.config.loss import LossConfig
from fedehr_shared.config.task import TaskConfig

LEAST_SHARE = 1e-3
"""A class rarer than this weighs as if it were not: one label would outweigh a batch."""
_DIGITS = 3


def class_weights_of(
    config: LossConfig, task: TaskConfig, class_shares: Sequence[float]
) -> tuple[float, ...]:
    """The task's own weights, or the balanced ones, or 1 each.

    Args:
        config: `[loss]`.
        task: binary or multiclass.
        class_shares: of the federation's labels; empty where they are not told.
    """
    if task.class_weights:
        return task.class_weights
    if config.class_weights == "balanced" and class_shares:
        return tuple(1 / (task.num_classes * share) for share in class_shares)
    return (1.0,) * task.num_classes


def class_shares_of(counts: Sequence[int]) -> tuple[float, ...]:
    """Shares of classes as sites are told them: in thousandths, never the counts.

    Args:
        counts: labels by class, over all sites that may tell.
    """
    total = max(1, sum(counts))
    return tuple(max(LEAST_SHARE, round(num / total, _DIGITS)) for num in counts)
