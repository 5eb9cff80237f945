"""`JsonFile`: a small file of one process's state, read by others at any moment."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class JsonFile:
    """A JSON object on the disk, readable by its owner only.

    It is replaced whole, so a reader never sees half of it. It is not forced onto the disk:
    after a power cut the processes that it speaks of are gone as well.
    """

    path: Path

    def write(self, content: Mapping[str, Any]) -> None:
        """Replace it.

        Raises:
            OSError: it cannot be written; then it is as it was.
        """
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as stream:
                json.dump(content, stream)
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)

    def read(self) -> dict[str, Any]:
        """What it says; empty where it is missing, unreadable or no JSON object."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}
