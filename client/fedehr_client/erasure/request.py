"""Who is to be erased: subject identifiers, read without ever being repeated."""

from collections.abc import Iterable

from fedehr_client.identity import IdentityHash, subject_id_of
from fedehr_shared.errors import UsageError

_HEADER = "subject_id"
_NUM_SHOWN = 10


def parse_subjects(
    lines: Iterable[str], source: str, identity: IdentityHash | None = None
) -> frozenset[int]:
    """The identifiers in `lines`, one a line.

    Blank lines, lines that begin with `#` and the heading `subject_id` are passed over.

    Args:
        lines: what the user gave.
        source: what to call it in an error.
        identity: the hash that the import used, where the lines are a hospital's own numbers.

    Raises:
        UsageError: a line is no 64-bit whole number; its number is said, not what it holds.
    """
    subjects: set[int] = set()
    bad: list[int] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip().removeprefix("\ufeff")
        if not text or text.startswith("#") or text == _HEADER:
            continue
        subject = subject_id_of(text, identity)
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
