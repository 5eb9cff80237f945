"""`RelativeError`: how far a change is from the ideal one, over many matrices."""

from dataclasses import dataclass


@dataclass
class RelativeError:
    """Adds up squared norms, matrix by matrix."""

    _missed: float = 0.0
    _ideal: float = 0.0

    def add(self, missed: float, ideal: float, scale: float) -> None:
        """Add a matrix.

        Args:
            missed: the norm of effective less ideal change.
            ideal: the norm of the ideal change.
            scale: both are to be multiplied by it.
        """
        self._missed += (scale * missed) ** 2
        self._ideal += (scale * ideal) ** 2

    @property
    def value(self) -> float:
        """The norms' ratio; 0 where nothing was to change."""
        return (self._missed / self._ideal) ** 0.5 if self._ideal else 0.0
