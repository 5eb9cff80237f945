"""`Resolution`: which token stands for a code, and how far the code had to back off for it."""

from dataclasses import dataclass

EXACT, ANCESTOR, BUCKET, UNKNOWN_STEP = 0, 1, 2, 3
"""The steps of the back-off, in order: the code itself; a code above it, or its other spelling;
the hashed bucket of its description; `[UNK]`."""
STEP_NAMES = ("exact", "ancestor", "bucket", "unknown")
"""The steps by name, as reports and messages call them."""


@dataclass(frozen=True)
class Resolution:
    """What a code becomes.

    Attributes:
        token: the token of an event without a value.
        step: `EXACT`, `ANCESTOR`, `BUCKET` or `UNKNOWN_STEP`.
        known_code: the code of the vocabulary that was found; None for a bucket and `[UNK]`.
            Values count at `EXACT` alone: an ancestor's unit may be another.
    """

    token: int
    step: int
    known_code: str | None
