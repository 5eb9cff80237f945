"""One learning-rate schedule over all rounds of a phase, and which subjects a step sees."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.optimization import OptimizationConfig
from fedehr_shared.seeds import derive_generator


def learning_rate(
    step: int, num_steps: int, config: OptimizationConfig, first_step: int = 0
) -> float:
    """The rate at a step: a linear warm-up, then a cosine to zero (Loshchilov and Hutter 2017)
    or the same rate to the end.

    What begins to learn later has a warm-up of its own, just as long, under the same curve: its
    moments are as empty then as the others' were at the start, and AdamW's first steps, whose
    length no gradient bounds, would be taken at nearly the full rate (Liu et al. 2020, "On the
    variance of the adaptive learning rate").

    Args:
        step: counted from the phase's first round, whatever the rounds.
        num_steps: of the whole phase at this site.
        config: for the highest rate, the warm-up's share and the schedule.
        first_step: the step at which what learns at this rate began to.
    """
    num_warmup = round(config.warmup_share * num_steps)
    rate = config.learning_rate
    if config.schedule == "cosine" and step >= num_warmup:
        done = (step - num_warmup) / max(1, num_steps - num_warmup)
        rate = rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    since = step - first_step
    return rate * (since + 1) / num_warmup if since < num_warmup else rate


def batch_rows(
    num_rows: int, step: int, steps_per_epoch: int, *seed_parts: str | int
) -> NDArray[np.int64]:
    """The rows of one step: each epoch is a new order, cut into `steps_per_epoch` batches.

    So a batch is in proportion to the site's size, every row is seen once an epoch (a site
    with fewer rows than steps repeats some), and a step's rows depend on nothing but its
    number: a round can be done again, by anyone, with the same rows.

    Shape: `[batch]`.
    """
    epoch, place = divmod(step, steps_per_epoch)
    order = _order(num_rows, *seed_parts, "order", epoch)
    begin = place * num_rows // steps_per_epoch
    end = (place + 1) * num_rows // steps_per_epoch
    return order[begin:end] if end > begin else order[[begin % num_rows]]


@lru_cache(maxsize=2)
def _order(num_rows: int, *seed_parts: str | int) -> NDArray[np.int64]:
    """A random order of rows. `[num_rows]`, read-only: it is kept for its epoch's other steps."""
    order = derive_generator(*seed_parts).permutation(num_rows)
    order.flags.writeable = False
    return order
