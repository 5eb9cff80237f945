"""`Journal`: that an erasure has begun and what it is to do, until the audit has its line.

It names nobody: who is to go stands in `withdrawn.json` as keyed hashes, written before.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from fedehr_client.erasure.table import PARTIAL_SUFFIX, replace_durably, sync
from fedehr_shared.errors import DataError

JOURNAL_FILE = "erasing.json"
_FORMAT = 1


@dataclass(frozen=True)
class Journal:
    """What one erasure at one site found before it began.

    Attributes:
        num_subjects: subjects recorded as withdrawn by it.
        num_found: subjects it found in the records, splits or labels.
        num_events: events of theirs.
        num_labels: labels of theirs.
        num_caches: token stores and other caches in the work folder.
    """

    num_subjects: int
    num_found: int
    num_events: int
    num_labels: int
    num_caches: int

    def write(self, file: Path) -> None:
        """Write `file` in one step."""
        partial = file.with_name(f".{file.name}{PARTIAL_SUFFIX}")
        partial.write_text(json.dumps({"format": _FORMAT, **asdict(self)}), encoding="utf-8")
        replace_durably(partial, file)


def read_journal(file: Path) -> Journal | None:
    """The erasure that has not ended, or None.

    Raises:
        DataError: the file is damaged or of another version.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        number = content.pop("format")
        if number == _FORMAT:
            return Journal(**content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"cannot read {file}: it is damaged. {_NEXT}") from error
    raise DataError(f"{file} is of format {number}, which this version does not know. {_NEXT}")


def remove_journal(file: Path) -> None:
    """The erasure has ended."""
    file.unlink()
    sync(file.parent)


_NEXT = "Remove it and repeat the erasure."
