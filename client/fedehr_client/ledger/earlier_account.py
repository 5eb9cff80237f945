"""`earlier_charges`: what fedehr charged before it had a ledger, in `<work>/privacy/spent.jsonl`.

Each line was one noisy vocabulary. Its noise multiplier follows from its epsilon and delta, as
it did when it was drawn. A line that was cut short is not guessed at: a person decides.
"""

import hashlib
import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from fedehr_client.ledger.entry import Reserved, entry_of
from fedehr_shared.errors import DataError
from fedehr_shared.privacy.gaussian import gaussian_multiplier

FILE_NAME = "spent.jsonl"
_NAME = "before-the-ledger"


def earlier_charges(folder: Path) -> list[Reserved]:
    """The charges of that file, none where there is no file; their ids are the same each time.

    Raises:
        DataError: it cannot be read, or a line of it is no charge.
    """
    file = folder / FILE_NAME
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}. Check its permissions.") from error
    seen: Counter[bytes] = Counter()
    charges = []
    for number, text in enumerate(lines, start=1):
        seen[text] += 1
        # Two equal lines are two charges.
        mark = hashlib.sha256(text + b"/%d" % seen[text]).hexdigest()[:32]
        charges.append(_charge(text, mark, f"line {number} of {file}"))
    return charges


def _charge(text: bytes, mark: str, source: str) -> Reserved:
    line = _content(text, source)
    epsilon, delta = _number(line.get("subject_epsilon")), _number(line.get("delta"))
    if line.get("mechanism") != "gaussian" or not (0 < epsilon <= 1_000 and 0 < delta < 1):
        raise _unreadable(source)
    charge = {
        "id": mark,
        "time": line.get("time"),
        "event": "reserve",
        "study": line.get("study"),
        "name": _NAME,
        "phase": line.get("phase"),
        "round": 1,
        "noise_multiplier": gaussian_multiplier(epsilon, delta / 2),
        "sample_rate": 1.0,
        "num_steps": 1,
        "naming_delta": delta / 2,
        "delta": delta,
    }
    entry = entry_of(charge, source)
    assert isinstance(entry, Reserved)
    return entry


def _content(text: bytes, source: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(source) from error
    if not isinstance(line, dict):
        raise _unreadable(source)
    return line


def _number(value: object) -> float:
    """Not a number where it is none, or none that fits."""
    if not isinstance(value, float | int) or isinstance(value, bool):
        return math.nan
    return float(value) if abs(value) < sys.float_info.max else math.nan


def _unreadable(source: str) -> DataError:
    return DataError(
        f"{source} is no charge that an earlier fedehr wrote: it may have been cut short. If "
        "nothing was sent when it was written, remove that line; else mend it. Until then nothing "
        "is trained or sent with noise."
    )
