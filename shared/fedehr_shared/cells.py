"""The cell rule for counts of subjects.

A count that leaves a site is at least `min_cell` and is rounded down to a multiple of it. So
is, then, every sum and difference of such counts: subtracting one from another, across codes,
tasks or phases, cannot single out a small group. Nor across studies: all of a site's counts
are multiples of its own floor, whatever a study asks for. A count told in elevens in one study
and in twelves in the next would soon be known exactly, as would the values at the edges of its
histograms.
"""

MOST_MIN_CELL = 2_000
"""A study's and a site's own are at most 1,000, and so is `cell_of` both below this."""


def cell_of(asked: int, floor: int) -> int:
    """The `min_cell` of a site for a study: the least multiple of its floor that is enough.

    Args:
        asked: what the study asks for, in subjects.
        floor: the site's own.
    """
    return -(-asked // floor) * floor


def told_count(num: int, min_cell: int) -> int:
    """`num` rounded down to a multiple of `min_cell`; 0 for what may not be told."""
    return num - num % min_cell
