"""`HospitalsPlan`: what to make. Everything else follows from it and the seed."""

from dataclasses import dataclass

import numpy as np

from fedehr_shared.errors import UsageError
from fedehr_shared.seeds import derive_generator

SIZE_RATIO = 10.0
"""The largest hospital over the smallest, unless told otherwise."""
SMALLEST_SITE = 10
MAX_SITES = 50
MAX_SIZE_RATIO = 1_000.0


@dataclass(frozen=True)
class HospitalsPlan:
    """How many subjects, at how many hospitals, from which seed.

    Attributes:
        num_subjects: over all hospitals.
        num_sites: hospitals.
        seed: of all that is drawn.
        size_ratio: the largest hospital over the smallest; 1: all alike.

    Raises:
        UsageError: fewer than 2 or more than 50 sites, a ratio below 1 or above 1,000, or too
            few subjects for them.
    """

    num_subjects: int = 3_000
    num_sites: int = 5
    seed: int = 0
    size_ratio: float = SIZE_RATIO

    def __post_init__(self) -> None:
        if not 1 <= self.size_ratio <= MAX_SIZE_RATIO:
            raise UsageError(f"--size-ratio {self.size_ratio:g}: choose 1 to {MAX_SIZE_RATIO:g}.")
        if not 2 <= self.num_sites <= MAX_SITES:
            raise UsageError(f"--sites {self.num_sites}: choose 2 to {MAX_SITES} hospitals.")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: choose 0 or more.")
        least = int(np.ceil(SMALLEST_SITE / self._shares[-1]))
        if self.num_subjects < least:
            raise UsageError(
                f"--subjects {self.num_subjects} leaves the smallest of {self.num_sites} hospitals "
                f"fewer than {SMALLEST_SITE} subjects. Ask for {least} or more."
            )

    @property
    def site_names(self) -> list[str]:
        """`hospital-1`, ...: sorted by name they are sorted by size, the largest first."""
        width = len(str(self.num_sites))
        return [f"hospital-{number:0{width}d}" for number in range(1, self.num_sites + 1)]

    @property
    def site_sizes(self) -> list[int]:
        """Subjects a site, adding up to `num_subjects`; a geometric row from the largest on."""
        edges = np.rint(np.concatenate([[0.0], np.cumsum(self._shares)]) * self.num_subjects)
        return [int(size) for size in np.diff(edges)]

    def generator(self, purpose: str) -> np.random.Generator:
        """A generator of its own for each purpose, so that parts change independently."""
        return derive_generator("hospitals", self.seed, purpose)

    @property
    def _shares(self) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        shares = self.size_ratio ** -np.linspace(0.0, 1.0, self.num_sites)
        return np.asarray(shares / shares.sum(), dtype=np.float64)
