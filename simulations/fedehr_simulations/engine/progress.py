"""Reading `progress.jsonl` while the ServerApp writes it."""

import json
from pathlib import Path
from typing import Any


class ProgressFile:
    """The new lines of a growing JSON-lines file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[dict[str, Any]]:
        """The objects of the lines completed since the last call; a missing file has none."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return []
        complete = text[: text.rfind(b"\n") + 1]
        self._offset += len(complete)
        return [json.loads(line) for line in complete.splitlines() if line.strip()]
