"""`read_result`: how a run ended."""

import json
from pathlib import Path
from typing import Any


def read_result(run_folder: Path) -> dict[str, Any] | None:
    """The content of `result.json`, or None while there is none."""
    try:
        text = (run_folder / "result.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    result: dict[str, Any] = json.loads(text)
    return result
