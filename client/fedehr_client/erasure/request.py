"""Who is to be erased: subject identifiers, read without ever being repeated."""

from collections.abc import Iterable

from fedehr_shared.errors import UsageError

_HEADER = "subject_id"
_NUM_SHOWN = 10


def parse_subjects(lines: Iterable[str], source: str) -> frozenset[int]:
    """The identifiers in `lines`, one a line.

    Blank lines, lines that begin with `#` and the heading `subject_id` are passed over.

    Args:
        lines: what the user gave.
        source: what to call it in an error.

    Raises:
        UsageError: a line is no 64-bit whole number; its number is said, not what it holds.
    """
    subjects: set[int] = set()
    bad: list[int] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip().removeprefix("\ufeff")
        if not text or text.startswith("#") or text == _HEADER:
            continue
        subject = _parse(text)
        if subject is None:
            bad.append(number)
        else:
            subjects.add(subject)
    if bad:
        shown = ", ".join(map(str, bad[:_NUM_SHOWN])) + (", ..." if len(bad) > _NUM_SHOWN else "")
        raise UsageError(
            f"{len(bad)} line(s) of {source} are no subject_id, a whole number of 64 bits "
            f"(line {shown}). Nothing was erased; mend them and repeat."
        )
    return frozenset(subjects)


def _parse(text: str) -> int | None:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
        return None
    value = int(text)
    return value if -(2**63) <= value < 2**63 else None
