"""`AdapterMean`: the weighted mean of the sites' changes, parameter by parameter."""

from fedehr_shared.model.weights import check_tensors
from fedehr_shared.wire.fixed_point import FixedPointSum
from fedehr_shared.wire.payload import Arrays


class AdapterMean:
    """Adds up changes; memory does not grow with the sites, and their order changes no bit."""

    def __init__(self, before: Arrays, trained: frozenset[str], total_weight: int) -> None:
        """Nothing is added yet.

        Args:
            before: all adapters' parameters.
            trained: those of them that the round trains.
            total_weight: an upper bound of the weights to come.
        """
        self._before = before
        self._shapes = {name: before[name].shape for name in trained}
        self._sum = FixedPointSum(total_weight)

    def check(self, update: Arrays, weight: int) -> None:
        """Say whether this may be added.

        Raises:
            WireError: a name, shape or value is wrong, or the weights exceed their bound.
        """
        check_tensors(update, self._shapes)
        self._sum.check(update, weight)

    def add(self, update: Arrays, weight: int) -> None:
        """Add a site's change.

        Raises:
            WireError: as `check`; nothing is added then.
        """
        self.check(update, weight)
        self._sum.add(update, weight)

    def mean(self) -> Arrays:
        """The mean change of what the round trains."""
        return self._sum.mean()

    def after(self) -> Arrays:
        """All adapters' parameters, moved by the mean change."""
        return self._before | {
            name: self._before[name] + change for name, change in self.mean().items()
        }
