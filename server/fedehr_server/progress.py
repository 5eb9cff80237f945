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


def describe_training(event: dict[str, Any]) -> list[str]:
    """A training round's numbers in words, from its entry in `progress.jsonl`; none elsewhere."""
    parts: list[str] = []
    if event.get("loss") is not None:
        parts.append(f"loss {event['loss']:.4f}")
        if event.get("code_entropy") is not None:
            # Of the codes: the loss of a model that knows their frequencies, and nothing else.
            parts[0] += f" (entropy {event['code_entropy']:.2f})"
    steps = sorted(site["num_steps"] for site in (event.get("sites") or {}).values())
    if steps:
        span = f"{steps[0]}" if steps[0] == steps[-1] else f"{steps[0]}-{steps[-1]}"
        parts.append(f"{span} step(s)")
    if event.get("learning_rate") is not None:
        parts.append(f"lr {event['learning_rate']:.1e}")
    if event.get("grad_norm") is not None:
        parts.append(f"gradient {event['grad_norm']:.2g}")
    if event.get("aggregation_error") is not None:
        parts.append(f"aggregation error {event['aggregation_error']:.2g}")
    for name in ("subject_epsilon", "site_epsilon"):
        if event.get(name) is not None:
            parts.append(f"{name} {event[name]:.3g} (delta {event['delta']:g})")
    return parts


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that the file is either absent, old or complete."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text so that the file is either absent, old or complete."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
