"""`Reserve`: room on the disk for the lines that say that the disk is full."""

from pathlib import Path

from fedehr_client.private_file import write_private
from fedehr_shared.full_disk import is_full

RESERVE_BYTES = 256 * 1_024
"""Some 500 lines of `Sendings`."""


class Reserve:
    """A file that holds nothing, and goes when its room is needed."""

    def __init__(self, file: Path) -> None:
        """Nothing is written yet."""
        self._file = file

    def fill(self) -> None:
        """Write the file where there is none.

        Raises:
            OSError: there is no room for it.
        """
        if not self._file.exists():
            # No zeros: a file system may keep these without giving them room.
            write_private(self._file, b"\x5a" * RESERVE_BYTES)

    def give_up(self, error: OSError) -> bool:
        """Make room after an error; whether there was any to make."""
        if not is_full(error) or not self._file.exists():
            return False
        self._file.unlink()
        return True
