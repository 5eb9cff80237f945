"""`LogFile`: the logs of a node's processes, kept within bounds.

A process writes into its log through a handle of its own for as long as it lives, so the file
cannot be renamed under it. It is copied to `NAME.1` (the older ones to `NAME.2` and on) and
cut to nothing; the handles append, so the next line is the first of the file. A line written
between the copy and the cut is lost.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from fedehr_client.node.folder import NodeFolder
from fedehr_shared.errors import UsageError

MOST_BYTES = 10 * 2**20
NUM_KEPT = 5
PROCESSES = ("node", "supernode", "worker", "child")


def log_file(node: NodeFolder, process: str) -> Path:
    """The log of one of `PROCESSES`.

    Raises:
        UsageError: there is no such process.
    """
    if process not in PROCESSES:
        raise UsageError(f"there is no log of '{process}'. Name one of {', '.join(PROCESSES)}.")
    return node.log_file.parent / f"{process}.log"


@dataclass(frozen=True)
class LogFile:
    """One log that somebody else writes.

    Attributes:
        path: of the newest part.
        most_bytes: beyond which it is cut.
        num_kept: earlier parts that stay.
    """

    path: Path
    most_bytes: int = MOST_BYTES
    num_kept: int = NUM_KEPT

    def rotate(self) -> bool:
        """Cut it where it is too large; returns whether it was.

        Raises:
            OSError: the earlier part cannot be kept, for example on a full disk; then the file
                is as it was.
        """
        try:
            if self.path.stat().st_size <= self.most_bytes:
                return False
        except FileNotFoundError:
            return False
        partial = self.path.with_name(f".{self.path.name}.partial")
        try:
            self._copy(partial)
            for number in range(self.num_kept, 1, -1):
                earlier = self._part(number - 1)
                if earlier.exists():
                    earlier.replace(self._part(number))
            partial.replace(self._part(1))
        finally:
            partial.unlink(missing_ok=True)
        os.truncate(self.path, 0)
        return True

    def _copy(self, partial: Path) -> None:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as kept, self.path.open("rb") as log:
            shutil.copyfileobj(log, kept)

    def _part(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
