"""Which numbers an answer may tell: their kind, range and steps.

A number in finer steps than it is told in could carry anything in its last digits.
"""

import math
from collections.abc import Callable

from fedehr_shared.errors import WireError
from fedehr_shared.wire.payload import Payload, Value, Values

MOST = 1e12
"""No honest number is greater."""

Test = Callable[[float], bool]


def within(least: float, greatest: float, *, decimals: int | None = None) -> Test:
    """A test: from `least` to `greatest`, and told in so many decimals where they are given."""

    def is_told(number: float) -> bool:
        is_rounded = decimals is None or round(number, decimals) == number
        return least <= number <= greatest and is_rounded

    return is_told


def count_of(cell: int, *, may_be_zero: bool = False) -> Test:
    """A test: a multiple of the cell, and one cell at least."""

    def is_told(number: float) -> bool:
        is_enough = number >= cell or (may_be_zero and number == 0)
        return is_enough and number <= MOST and number % cell == 0

    return is_told


def require_integer(values: Values, record: str, key: str, is_told: Test) -> int:
    """A whole number of an answer.

    Raises:
        WireError: it is missing, of another type, or not told like that.
    """
    value = values.get(key)
    if type(value) is not int or not is_told(value):
        raise wrong(f"{record}.{key}")
    return value


def require_float(values: Values, record: str, key: str, is_told: Test) -> float:
    """A number of an answer, finite.

    Raises:
        WireError: it is missing, of another type, or not told like that.
    """
    value = values.get(key)
    if not isinstance(value, float) or not math.isfinite(value) or not is_told(value):
        raise wrong(f"{record}.{key}")
    return float(value)


def require_text(values: Values, record: str, key: str, only: str) -> None:
    """A text of an answer, which only may be one.

    Raises:
        WireError: it is another one.
    """
    if not is_text(values.get(key)) or values[key] != only:
        raise wrong(f"{record}.{key}")


def require_records(payload: Payload, tensors: set[str], values: set[str]) -> None:
    """The records of an answer, exactly.

    Raises:
        WireError: one is missing, or there is another one. Names are not told: they may be any
            text.
    """
    if payload.tensors.keys() != tensors or payload.values.keys() != values:
        raise WireError(
            "an answer lacks a record that its phase has, or holds another one. It was stopped."
        )


def require_keys(values: Values, record: str, least: set[str], most: set[str]) -> None:
    """The keys of a record.

    Raises:
        WireError: one of `least` is missing, or there is one beyond `most`.
    """
    if not least <= values.keys() <= most:
        raise wrong(f"a key of {record}")


def is_text(value: Value | None) -> bool:
    """Whether a value is a plain string."""
    return type(value) is str


def wrong(what: str) -> WireError:
    """The error that names what is wrong, and not what it says."""
    return WireError(
        f"{what} of an answer is missing, unknown, or not told as docs/privacy.md says. It was "
        "stopped."
    )
