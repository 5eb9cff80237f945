"""`AdapterAggregation`: the protocol of all methods, and what a round of one gives."""

from dataclasses import dataclass
from typing import Protocol

from fedehr_shared.wire.payload import Arrays


@dataclass(frozen=True)
class AggregatedAdapters:
    """What a round leaves.

    Attributes:
        adapters: every adapter's parameter after the round, also those that were frozen in it.
        fold: `<matrix>.fold_B` and `<matrix>.fold_A`, to be added to the base by `apply_fold`
            together with the new adapters; None where a method never folds.
        error: |effective change - ideal change| / |ideal change|, Frobenius, over all adapted
            matrices together. Ideal is `sum of w_i B_i A_i` less the product before, scaled;
            effective is what base and adapters have changed by. 0 where nothing changed.
    """

    adapters: Arrays
    fold: Arrays | None
    error: float


class AdapterAggregation(Protocol):
    """One round of one method. The order in which sites are added changes no bit."""

    def add(self, site: str, update: Arrays, weight: int) -> None:
        """Take a site's change of the adapters that the round trains.

        Args:
            site: its name; each is added once.
            update: exactly the adapters that learn in this round; nothing else.
            weight: the site's examples.

        Raises:
            WireError: a name, shape or value is wrong, or the weights exceed their bound;
                nothing was added.
        """
        ...

    def close(self) -> AggregatedAdapters:
        """The adapters after the round.

        Raises:
            TrainingError: the sum cannot be cut, or is beyond float32.
        """
        ...
