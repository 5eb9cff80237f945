"""Patterns over codes: regular expressions of RE2, which must match the whole code.

RE2 runs in time linear in its input whatever the pattern (Cox 2007), so that a study cannot
stop a site with one; a pattern that RE2 refuses is refused when the file is read.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_PATTERN_LENGTH = 2_000


def matching(codes: Sequence[str], pattern: str) -> "NDArray[np.bool_]":
    """Which codes `pattern` matches from end to end; none for an empty pattern.

    Shape: `[codes]`.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pattern:
        return np.zeros(len(codes), dtype=bool)
    found = pc.match_substring_regex(pa.array(codes, pa.string()), rf"\A(?:{pattern})\z")
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=bool)


def check_pattern(pattern: str) -> str:
    """Give `pattern` back.

    Raises:
        ValueError: RE2 refuses it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), pattern)
        matching([""], pattern)
    except pa.ArrowInvalid:
        raise ValueError("is no regular expression that RE2 accepts") from None
    return pattern


CodePattern = Annotated[
    str, Field(min_length=1, max_length=MAX_PATTERN_LENGTH), AfterValidator(check_pattern)
]
"""A pattern that must match a whole code, for example `ICU_ADMISSION(//.*)?`."""

OptionalPattern = Annotated[
    str, Field(max_length=MAX_PATTERN_LENGTH), AfterValidator(check_pattern)
]
"""A pattern, or nothing."""
