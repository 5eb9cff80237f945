"""`ContractFiles`: one file a contract, whole or not at all, under a lock.

    NODE/contracts/<digest of the contract>.json

The command line and the node's worker both write them. A file that is damaged allows nothing.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedehr_client.contracts.known_study import KnownStudy
from fedehr_client.private_file import write_private
from fedehr_shared.errors import DataError, WireError

_SUFFIX = ".json"
_DIGITS = frozenset("0123456789abcdef")
_DIGEST_CHARACTERS = 64
_UNDECIDED_END = b'"decisions": [],\n "runs": []\n}'
"""How the file of a contract ends about which nothing was decided. No text within a file holds a
line break as it is."""


class ContractFiles:
    """The folder of a site's contracts."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read or written yet."""
        self.folder = folder

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time reads a contract, decides, and writes it.

        Raises:
            DataError: the folder cannot be written.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("a")
        except OSError as error:
            raise self._unwritable(error) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def read(self, digest: str) -> KnownStudy | None:
        """A contract; None where there is none of that digest.

        Raises:
            ContractError: it is of another version of fedehr.
            DataError: its file is damaged or cannot be read.
        """
        if len(digest) != _DIGEST_CHARACTERS or not set(digest) <= _DIGITS:
            return None
        file = self._file(digest)
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise self._damaged(file) from error
        try:
            known = KnownStudy.from_dict(json.loads(text))
        except (KeyError, TypeError, ValueError, WireError, RecursionError) as error:
            raise self._damaged(file) from error
        if known.digest != digest:
            raise self._damaged(file)
        return known

    def write(self, known: KnownStudy) -> None:
        """Replace a contract's file; it is on the disk when this returns. Hold `alone`.

        Raises:
            DataError: it cannot be written; then it is as it was.
        """
        try:
            content = json.dumps(known.to_dict(), indent=1, allow_nan=False)
            write_private(self._file(known.digest), content.encode())
        except OSError as error:
            raise self._unwritable(error) from error

    def digests(self) -> list[str]:
        """Of all contracts, whatever state their files are in."""
        return sorted(
            file.stem
            for file in self.folder.glob(f"*{_SUFFIX}")
            if len(file.stem) == _DIGEST_CHARACTERS and set(file.stem) <= _DIGITS
        )

    def num_waiting(self) -> int:
        """Contracts that nobody has decided about, by the ends of their files: none is parsed."""
        return sum(self._is_waiting(self._file(digest)) for digest in self.digests())

    @staticmethod
    def _is_waiting(file: Path) -> bool:
        try:
            with file.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - len(_UNDECIDED_END)))
                return stream.read() == _UNDECIDED_END
        except OSError:
            # Removed meanwhile, or it cannot be read: nothing can be decided about it.
            return False

    def _file(self, digest: str) -> Path:
        return self.folder / f"{digest}{_SUFFIX}"

    def _damaged(self, file: Path) -> DataError:
        return DataError(
            f"the contract's file {file} is damaged, and allows nothing. Restore it from a backup, "
            "or remove it and have the coordinator propose the study again."
        )

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(
            f"cannot write below {self.folder}: {error.strerror}. Mend its permissions or free the "
            "disk; nothing was done or sent."
        )
