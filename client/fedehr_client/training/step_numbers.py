"""`StepNumbers`: what whoever watches a round is told after each step."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StepNumbers:
    """One optimizer step.

    Attributes:
        num_done: steps of the round up to this one.
        num_steps: of the round, unless the clock ends it before.
        loss: in nats.
        gradient_norm: before clipping.
        learning_rate: of this step.
        num_tokens: of its batch.
        seconds: since the first step began.
    """

    num_done: int
    num_steps: int
    loss: float
    gradient_norm: float
    learning_rate: float
    num_tokens: int
    seconds: float


StepObserver = Callable[[StepNumbers], None]
