"""The cell rule for counts of subjects.

A count that leaves a site is at least `min_cell` and is rounded down to a multiple of it. So
is, then, every sum and difference of such counts: subtracting one from another, across codes,
tasks or phases, cannot single out a small group.
"""


def told_count(num: int, min_cell: int) -> int:
    """`num` rounded down to a multiple of `min_cell`; 0 for what may not be told."""
    return num - num % min_cell
