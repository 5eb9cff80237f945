"""A subject's sex, read from its static codes: `SEX//F`, or `GENDER//F` in other tools' MEDS."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.tokens.subject_rows import SubjectRows

UNKNOWN_SEX, FEMALE, MALE, ANOTHER = range(4)
_SEX_CODE = re.compile(r"(?:sex|gender)(?://?(?P<told>.*))?", re.IGNORECASE | re.DOTALL)
_SEX_OF_WORD = {
    **dict.fromkeys(("f", "female"), FEMALE),
    **dict.fromkeys(("m", "male"), MALE),
    **dict.fromkeys(
        ("a", "ambiguous", "another", "d", "diverse", "i", "intersex", "nb", "nonbinary",
         "non-binary", "o", "other", "x"),
        ANOTHER,
    ),
}  # fmt: skip
"""Any other word, as the `U` of our own importers, says nothing."""


def is_sex_code(code: str) -> bool:
    """Whether the code is of a sex, known or not, however it is written."""
    return _SEX_CODE.fullmatch(code) is not None


def sex_of_code(code: str) -> int:
    """`FEMALE`, `MALE` or `ANOTHER`; `UNKNOWN_SEX` for codes that tell none."""
    found = _SEX_CODE.fullmatch(code)
    if found is None or found["told"] is None:
        return UNKNOWN_SEX
    return _SEX_OF_WORD.get(found["told"].strip().casefold(), UNKNOWN_SEX)


class SexCodes:
    """Which of a site's codes tell a sex, looked up once a code."""

    def __init__(self, codes: Sequence[str]) -> None:
        """`codes`: what code indices are rows of."""
        sexes = np.asarray([sex_of_code(code) for code in codes], dtype=np.intp)
        self._bits = _BIT_OF_SEX.take(sexes)

    def sexes_of(
        self, code_rows: NDArray[np.intp], static: NDArray[np.intp], subjects: SubjectRows
    ) -> NDArray[np.uint8]:
        """The sex of each subject: unknown where no static event tells it, or two disagree.

        Events with a time do not count: they would tell at one time what is known at another.

        Args:
            code_rows: `[events]`, the code of each.
            static: the events without a time.
            subjects: whose events are which.

        Shape: `[subjects]`.
        """
        bits = self._bits.take(code_rows.take(static))
        telling = np.flatnonzero(bits)
        told = np.zeros(subjects.starts.size, dtype=np.uint8)
        np.bitwise_or.at(told, subjects.subjects_of(static.take(telling)), bits.take(telling))
        return _SEX_OF_BITS.take(told)


# A bit a sex: what several codes of a subject say is their union.
_BIT_OF_SEX = np.asarray([0, 1, 2, 4], dtype=np.uint8)
_SEX_OF_BITS = np.full(8, UNKNOWN_SEX, dtype=np.uint8)
_SEX_OF_BITS[_BIT_OF_SEX] = (UNKNOWN_SEX, FEMALE, MALE, ANOTHER)
