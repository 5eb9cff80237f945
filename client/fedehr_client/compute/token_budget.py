"""`TokenBudget`: most tokens in memory at once, lowered when memory runs out."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol, Self

from fedehr_shared.errors import TrainingError

log = logging.getLogger("fedehr.client")


class Divisible(Protocol):
    """A step's batch, which can be cut into pieces."""

    @property
    def num_tokens(self) -> int:
        """Tokens that the memory holds."""

    def split(self, token_budget: int | None) -> Sequence[Self]:
        """Pieces of at most `token_budget` tokens, or of one longer sequence or group."""


def _forget(num_tokens: int) -> None:
    """Where nothing is remembered from round to round."""


class TokenBudget:
    """Lowered in the middle of a step, it holds for all later ones.

    It is remembered once a step fitted: where memory is short for another reason, or for a
    moment, a budget that did not help either must not slow down the rounds to come.

    Attributes:
        num_tokens: None: a whole batch.
    """

    def __init__(self, num_tokens: int | None, remember: Callable[[int], None] = _forget) -> None:
        """`remember` is told a lowered budget that a step fitted into."""
        self.num_tokens = num_tokens
        self._remember = remember
        self._remembered = num_tokens

    def fitted(self) -> None:
        """To be told of each step that memory sufficed for."""
        if self.num_tokens is not None and self.num_tokens != self._remembered:
            self._remember(self.num_tokens)
            self._remembered = self.num_tokens

    def lower(self, batch: Divisible) -> None:
        """Half of what did not fit, or the next budget below that makes pieces smaller.

        Args:
            batch: the one in work when memory ran out.

        Raises:
            TrainingError: its pieces are single sequences or groups already.
        """
        largest = _largest_piece(batch, self.num_tokens)
        lowered = largest // 2
        while lowered and _largest_piece(batch, lowered) == largest:
            lowered //= 2
        if not lowered:
            raise TrainingError(
                f"memory ran out on a piece of {largest:,} tokens, and it cannot be cut further: "
                "it is one sequence, or one group that belongs together. Lower [sequence] "
                "context, the model's size or [objective] contrastive_group in the study, or set "
                "[compute] checkpointing = 'on' in the site file."
            )
        log.warning(
            "memory ran out on a piece of %s tokens: the step is done again with at most %s",
            f"{largest:,}", f"{lowered:,}",
        )  # fmt: skip
        self.num_tokens = lowered


def _largest_piece(batch: Divisible, token_budget: int | None) -> int:
    return max(piece.num_tokens for piece in batch.split(token_budget))
