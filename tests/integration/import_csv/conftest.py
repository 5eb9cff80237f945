"""Small tables and a mapping in, the events of a finished import out."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

Rows = Sequence[dict[str, Any]]
HEAD = """
[source]
name = "made up"
[subject]
column = "pid"
"""


@dataclass(frozen=True)
class Imported:
    """A site folder just written."""

    path: Path
    summary: Any

    def events(self) -> list[tuple[int, datetime | None, str, float | None, int | None]]:
        """All events, in the order on disk."""
        import pyarrow.parquet as pq

        tables = [pq.read_table(file) for file in sorted((self.path / "data").glob("*.parquet"))]
        names = ("subject_id", "time", "code", "numeric_value", "visit_id")
        return [tuple(row[name] for name in names) for t in tables for row in t.to_pylist()]

    def codes(self) -> dict[str, dict[str, Any]]:
        """Rows of `codes.parquet`, by code."""
        import pyarrow.parquet as pq

        rows = pq.read_table(self.path / "metadata" / "codes.parquet").to_pylist()
        return {row["code"]: row for row in rows}


def write_csv(file: Path, rows: Rows, delimiter: str = ",", encoding: str = "utf-8") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with file.open("w", newline="", encoding=encoding) as stream:
        writer = csv.DictWriter(stream, columns, delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="session")
def head() -> str:
    """The sections that every mapping needs."""
    return HEAD


@pytest.fixture(scope="session")
def save_tables() -> Callable[..., Path]:
    """`save_tables(folder, {name: rows})` writes NAME.csv each."""

    def save(folder: Path, tables: dict[str, Rows], **how: str) -> Path:
        for name, rows in tables.items():
            write_csv(folder / f"{name}.csv", rows, **how)
        return folder

    return save


@pytest.fixture
def import_tables(tmp_path: Path, save_tables: Callable[..., Path]) -> Callable[..., Imported]:
    """`import_tables(mapping_text, {name: rows})`: a whole import by the engine."""
    from fedehr_client.importers.csv.importer import CsvImporter
    from fedehr_client.importers.csv.mapping import Mapping
    from fedehr_client.importers.engine.settings import ImportSettings
    from fedehr_client.importers.engine.write import write_records

    def run(
        mapping: str, tables: dict[str, Rows], how: dict[str, str] | None = None, **settings: Any
    ) -> Imported:
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        save_tables(folder / "tables", tables, **(how or {}))
        file = folder / "mapping.toml"
        file.write_text(mapping if "[source]" in mapping else HEAD + mapping, encoding="utf-8")
        importer = CsvImporter(folder / "tables", Mapping.load(file), folder)
        out = folder / "site"
        summary = write_records(
            importer,
            out,
            ImportSettings(**{"memory_limit_bytes": 8 * 10**9, **settings}),
            lambda step: None,
        )
        return Imported(out, summary)

    return run
