"""`PauseMarker`: a node that a person has paused, until a person resumes it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedehr_client.private_file import sync_folder, write_private
from fedehr_shared.errors import DataError

PAUSE_FILE = "paused.json"


@dataclass(frozen=True)
class Pause:
    """Why and since when a node is paused.

    Attributes:
        since: UTC, RFC 3339.
        reason: of the person who paused it; may be empty.
    """

    since: str
    reason: str


class PauseMarker:
    """The file in a node's state folder that says so; it outlives restarts."""

    def __init__(self, state: Path) -> None:
        """`state` is the node's state folder."""
        self._file = state / PAUSE_FILE

    def set(self, reason: str) -> Pause:
        """Pause the node, or give a paused one another reason; it is on the disk after this.

        Raises:
            DataError: it cannot be written.
        """
        pause = Pause(datetime.now(UTC).isoformat(timespec="seconds"), reason)
        try:
            write_private(self._file, json.dumps(vars(pause)).encode())
        except OSError as error:
            raise DataError(
                f"cannot write {self._file}: {error.strerror}. Stop the node instead: "
                "fedehr-client stop."
            ) from error
        return pause

    def clear(self) -> bool:
        """Let the node work again; returns whether it was paused.

        Raises:
            DataError: the file cannot be removed.
        """
        try:
            self._file.unlink()
            sync_folder(self._file.parent)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise DataError(f"cannot remove {self._file}: {error.strerror}.") from error
        return True

    def read(self) -> Pause | None:
        """The pause, if there is one; a file that cannot be read is one too."""
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
            return Pause(str(content["since"]), str(content["reason"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError, KeyError, TypeError):
            return Pause("", f"{self._file} cannot be read")
