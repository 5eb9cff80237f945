"""`DatasetFolder`: where another tool's MEDS dataset has its shards, codes, splits and labels."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedehr_shared.errors import DataError

_NUM_SHOWN = 8
_SPLITS_NAMES = ("subject_splits", "patient_splits")
_KEPT = ("dataset_name", "dataset_version", "license", "location_uri", "description_uri")
"""Entries of `dataset.json` that stay true of a copy; all are texts."""


@dataclass(frozen=True)
class DatasetFolder:
    """A dataset as it was found; only read."""

    path: Path

    @property
    def shards(self) -> list[Path]:
        """`data/**/*.parquet`, by path.

        Raises:
            DataError: there is none; what was found is said.
        """
        files = _parquet_files(self.path / "data")
        if not files:
            raise DataError(
                f"{self.path} is no MEDS dataset: expected data/**/*.parquet and metadata/, "
                f"found {_describe(self.path)}. Name the folder that holds data/."
            )
        return files

    @property
    def codes_file(self) -> Path | None:
        """`metadata/codes.parquet`, or None."""
        file = self.path / "metadata" / "codes.parquet"
        return file if file.is_file() else None

    @property
    def splits_file(self) -> Path | None:
        """The file of the splits, under its present or its older name, or None."""
        files = [self.path / "metadata" / f"{name}.parquet" for name in _SPLITS_NAMES]
        return next((file for file in files if file.is_file()), None)

    def describe(self) -> dict[str, str]:
        """Of `dataset.json` what stays true of a copy; empty where it is missing or damaged."""
        content = _read_json(self.path / "metadata" / "dataset.json")
        return {key: content[key] for key in _KEPT if isinstance(content.get(key), str)}

    @property
    def import_about(self) -> dict[str, Any]:
        """`import.json` where this program made the dataset, else empty."""
        return _read_json(self.path / "metadata" / "import.json")


def label_files(folder: Path) -> dict[str, list[Path]]:
    """By task, the files of its labels: `<task>.parquet`, or shards in a folder `<task>`.

    Raises:
        DataError: a task is there both ways.
    """
    if not folder.is_dir():
        return {}
    found: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        files = _parquet_files(entry) if entry.is_dir() else [entry]
        if entry.name.startswith(".") or not files or files[0].suffix != ".parquet":
            continue
        task = entry.name if entry.is_dir() else entry.stem
        if task in found:
            raise DataError(f"{folder} holds labels of task '{task}' twice. Keep one of them.")
        found[task] = files
    return found


def _parquet_files(folder: Path) -> list[Path]:
    files = [file for file in folder.rglob("*.parquet") if file.is_file()]
    return sorted(file for file in files if not _is_hidden(file.relative_to(folder)))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _describe(path: Path) -> str:
    if not path.is_dir():
        return "a file" if path.exists() else "nothing there"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
    if not names:
        return "an empty folder"
    more = ", ..." if len(names) > _NUM_SHOWN else ""
    return ", ".join(names[:_NUM_SHOWN]) + more


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
