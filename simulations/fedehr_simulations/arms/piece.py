"""`Piece`: one piece of work, sent to a process of its own, and what an arm's piece gives."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from fedehr_simulations.outcome.predictions import SitePredictions

Result_co = TypeVar("Result_co", covariant=True)


class Piece(Protocol[Result_co]):
    """Work that can be pickled; the same piece always gives the same result."""

    @property
    def title(self) -> str:
        """The piece in a few words."""
        ...

    @property
    def folder(self) -> Path:
        """Where it writes, its logs included; made by whoever starts it."""
        ...

    @property
    def work(self) -> Path:
        """Scratch of its own, with token stores; removed after the comparison."""
        ...

    def carry_out(self) -> Result_co:
        """Do it.

        Raises:
            FedehrError: it cannot be done.
        """
        ...


@dataclass(frozen=True)
class PieceResult:
    """What a piece of an arm found.

    Attributes:
        arm: the arm it belongs to.
        seed: the study's seed.
        predictions: by site, for its held-out examples.
        pretraining_loss: one a round, None where sites withhold it; empty where nothing was
            pre-trained.
        withheld: by site, why it has no predictions.
    """

    arm: str
    seed: int
    predictions: dict[str, SitePredictions]
    pretraining_loss: tuple[float | None, ...] = ()
    withheld: dict[str, str] = field(default_factory=dict)
