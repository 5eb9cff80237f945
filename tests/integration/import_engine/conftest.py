"""A source in two tables, an importer of it, and the program that runs it as a process."""

import csv
import gzip
import importlib.util
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.engine.workspace import Workspace

HERE = Path(__file__).parent


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(
        ImportSettings(memory_limit_bytes=8 * 10**9, max_bad_share=1.0), beside=tmp_path
    ) as opened:
        yield opened


@pytest.fixture
def write_table() -> Callable[[Path, list[list[Any]]], Path]:
    def write(file: Path, rows: list[list[Any]]) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        opened = gzip.open if file.suffix == ".gz" else open
        with opened(file, "wt", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows(rows)
        return file

    return write


@pytest.fixture(scope="session")
def events_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`events.csv.gz` and `codes.csv`: 60,000 rows of 700 subjects, with duplicates and gaps."""
    folder = tmp_path_factory.mktemp("source")
    draw = random.Random(0)
    with gzip.open(folder / "events.csv.gz", "wt", newline="", compresslevel=1) as stream:
        writer = csv.writer(stream)
        writer.writerow(["Subject", "date(time,'unixepoch')", "code", "value", "visit"])
        for number in range(60_000):
            subject = draw.randrange(700)
            time = f"20{draw.randrange(10, 20)}-{draw.randrange(1, 13):02}-11 10:{number % 60:02}"
            code = f"LAB//{draw.randrange(50)}"
            value = draw.choice(["", "nan", "-0.0", "0", f"{draw.random():.3f}", "1e300"])
            row = [subject, "" if number % 50 == 0 else time, code, value, subject * 10]
            writer.writerows([row] * (2 if number % 100 == 0 else 1))
    rows = [["code", "parent", "description"], ["LAB//1", "LAB", "first"], ["LAB", "ALL", "labs"]]
    with (folder / "codes.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([*rows, ["UNUSED", "ALL", "nobody has it"]])
    return folder


@pytest.fixture(scope="session")
def two_tables() -> Any:
    """`two_tables(SOURCE)`: the importer of that program, in this process."""
    spec = importlib.util.spec_from_file_location("two_tables", HERE / "two_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["two_tables"] = module
    spec.loader.exec_module(module)
    return module.TwoTables


@pytest.fixture(scope="session")
def import_program() -> list[str]:
    """`[*import_program, SOURCE, OUT, OPTIONS as JSON]` imports in a process of its own."""
    return [sys.executable, str(HERE / "two_tables.py")]
