"""`LeftMarker`: a node that has left its federation, until it is started again."""

import json
from datetime import UTC, datetime
from pathlib import Path

from fedehr_client.private_file import write_private
from fedehr_shared.errors import DataError

LEFT_FILE = "left.json"


class LeftMarker:
    """The file in a node's state folder that says so."""

    def __init__(self, state: Path) -> None:
        """`state` is the node's state folder."""
        self._file = state / LEFT_FILE

    def set(self) -> None:
        """It has left now.

        Raises:
            DataError: it cannot be written.
        """
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            write_private(self._file, json.dumps({"since": since}).encode())
        except OSError as error:
            raise DataError(
                f"the node has left, but {self._file} cannot be written: {error.strerror}."
            ) from error

    def clear(self) -> None:
        """It takes part again.

        Raises:
            OSError: the file cannot be removed.
        """
        self._file.unlink(missing_ok=True)

    def since(self) -> str | None:
        """When it left (UTC, RFC 3339); None where it has not, or where nothing tells when."""
        try:
            return str(json.loads(self._file.read_text(encoding="utf-8"))["since"])
        except (OSError, ValueError, RecursionError, KeyError, TypeError):
            return None
