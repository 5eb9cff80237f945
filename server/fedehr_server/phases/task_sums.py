"""`TaskSums`: a round's mean, in which each task's head is that of the sites with its labels."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedehr_shared.errors import WireError
from fedehr_shared.model.heads.task_parts import SHARED, TaskParts
from fedehr_shared.wire.fixed_point import FixedPointSum
from fedehr_shared.wire.payload import Arrays

LABELS = "labels."
"""Before a task's name, in what a site tells: its labelled training subjects."""


@dataclass(frozen=True)
class SiteWeight:
    """What a site weighs.

    Attributes:
        num_examples: in what all tasks share.
        num_labels: in each task's own part; 0: it has no labels, or too few to train on.
    """

    num_examples: int
    num_labels: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, site: str, num_examples: int, metrics: Mapping[str, float], parts: TaskParts | None
    ) -> "SiteWeight":
        """As the site told it.

        Args:
            site: its name.
            num_examples: the examples that it weighs by.
            metrics: its numbers, the labels of each task among them.
            parts: of the study's tasks; None: everything is shared.

        Raises:
            WireError: a task has more labels than the site has examples.
        """
        names = () if parts is None else parts.names
        told = tuple(int(metrics.get(f"{LABELS}{name}", 0)) for name in names)
        if any(num > num_examples for num in told):
            raise WireError(f"site '{site}' counts more labels than examples.")
        return cls(num_examples, told)

    def of_part(self, part: int) -> int:
        """In a part of the model."""
        return self.num_examples if part == SHARED else self.num_labels[part]


class TaskSums:
    """Adds weighted tensors one reply at a time, as `FixedPointSum`, part by part."""

    def __init__(self, total_weight: int, parts: TaskParts | None) -> None:
        """Begin empty.

        Args:
            total_weight: an upper bound of the sites' examples, the same for every order.
            parts: of the study's tasks; None: everything is shared.
        """
        self._parts = parts
        self._total_weight = total_weight
        self._sums: dict[int, FixedPointSum] = {}

    def add(self, tensors: Arrays, weight: SiteWeight) -> None:
        """Add a site's tensors.

        Raises:
            WireError: as `check`; nothing is added then.
        """
        self.check(tensors, weight)
        for part, own in self._split(tensors).items():
            if weight.of_part(part):
                self._sum_of(part).add(own, weight.of_part(part))

    def check(self, tensors: Arrays, weight: SiteWeight) -> None:
        """Say whether these may be added.

        Raises:
            WireError: as `FixedPointSum.check`.
        """
        for part, own in self._split(tensors).items():
            if weight.of_part(part) or part == SHARED:
                self._sum_of(part).check(own, weight.of_part(part))

    def mean(self, otherwise: Arrays) -> Arrays:
        """The weighted means.

        Args:
            otherwise: by name, tensors that stand for a part to which no site added.
        """
        means: dict[int, Arrays] = {}
        for part, own in self._split(otherwise).items():
            added = self._sums.get(part)
            means[part] = added.mean() if added is not None and added.weight else own
        return means[SHARED] if self._parts is None else self._parts.join(means)

    def _sum_of(self, part: int) -> FixedPointSum:
        return self._sums.setdefault(part, FixedPointSum(self._total_weight))

    def _split(self, tensors: Arrays) -> dict[int, Arrays]:
        return {SHARED: tensors} if self._parts is None else self._parts.split(tensors)
