"""From the run's `result.json` to a return value or the error that ends the program."""

import json
from pathlib import Path
from typing import Any

from fedehr_shared import errors
from fedehr_shared.errors import FedehrError


def read_result(file: Path, log: Path) -> dict[str, Any]:
    """The content of a completed run's `result.json`.

    Raises:
        FedehrError: the run failed; of the class whose code and exit code the file names.
    """
    result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if result["status"] == "completed":
        return result
    kind = _error_class(str(result.get("code", "")), int(result.get("exit_code", 1)))
    raise kind(f"{result.get('message') or 'the run failed'} (the run's log: {log})")


def _error_class(code: str, exit_code: int) -> type[FedehrError]:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, FedehrError)
    ]
    for kind in kinds:
        if (kind.code, kind.exit_code) == (code, exit_code):
            return kind
    for kind in kinds:
        if kind.exit_code == exit_code:
            return kind
    return FedehrError
