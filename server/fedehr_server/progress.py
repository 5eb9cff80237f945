"""`progress.jsonl` and `result.json`: what a run says while it goes on, and when it ends."""

import json
import os
import time
from pathlib import Path
from typing import Any


class ProgressLog:
    """Appends one JSON object a line, flushed, for whoever watches the run."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "progress.jsonl"
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._began

    def write(self, event: str, **fields: Any) -> None:
        """Append one event."""
        line = {"event": event, "time_seconds": round(self.seconds, 3), **fields}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that the file is either absent, old or complete."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
