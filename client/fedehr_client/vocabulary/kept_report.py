"""`KeptReports`: a noisy report once drawn is sent again as it is, never drawn anew.

Two draws for one study would tell more than was charged, and their mean would be less noisy.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedehr_shared.errors import DataError
from fedehr_shared.wire.payload import Payload


class KeptReports:
    """Reports below `<work>/vocabulary`, by study and records."""

    def __init__(self, work: Path, study: str, records: str) -> None:
        """`study` and `records` are digests in hexadecimal."""
        self._folder = work / "vocabulary"
        self._file = self._folder / f"{study}-{records[:16]}.json"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time looks for a report, draws it and keeps it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self._folder / "lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def find(self) -> Payload | None:
        """The report, if it was drawn before.

        Raises:
            DataError: it cannot be read. Drawing it anew would cost again, so a person decides.
        """
        try:
            return Payload(values=json.loads(self._file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DataError(
                f"the report {self._file} is damaged. Remove it to have another one drawn, which "
                "charges the subjects again."
            ) from error

    def keep(self, report: Payload) -> None:
        """Write the report; it appears only when complete."""
        partial = self._file.with_suffix(".partial")
        with open(partial, "w", encoding="utf-8", opener=_private) as stream:
            json.dump(report.values, stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(self._file)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
