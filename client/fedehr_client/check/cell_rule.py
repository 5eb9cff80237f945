"""`CellRule`: which numbers of a check may be shown."""

from dataclasses import dataclass

from fedehr_shared.cells import told_count


@dataclass(frozen=True)
class CellRule:
    """The page may be handed to a coordinator, so it keeps the rule of everything that leaves:
    a count of subjects is told in multiples of `min_cell`, and what rests on fewer subjects is
    withheld (None)."""

    min_cell: int

    def subjects(self, num_subjects: int) -> int | None:
        """A count of subjects as it may be told; 0 stays 0."""
        if num_subjects == 0:
            return 0
        return told_count(num_subjects, self.min_cell) or None

    def figure(self, value: float, num_subjects: int) -> float | None:
        """`value`, which rests on `num_subjects`, or None."""
        return None if 0 < num_subjects < self.min_cell else value

    def words(self, num_subjects: int) -> str:
        """A count of subjects in a sentence."""
        told = self.subjects(num_subjects)
        return f"fewer than {self.min_cell}" if told is None else f"{told:,}"
