"""A site that an erasure may change: shards, labels, splits, stores and rare numbers."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

OFFSET = 7_310_000_000_000_000_000
"""Added to every identifier, so that its eight bytes and its digits occur nowhere by chance."""


def _shift(file: Path) -> None:
    table = pq.read_table(file)
    column = pc.add(table.column("subject_id"), OFFSET)
    pq.write_table(table.set_column(0, table.schema.field("subject_id"), column), file)


def _split_shards(data: Path, num: int) -> None:
    """`0.parquet` becomes `num` shards of whole subjects, some in a folder of their own."""
    table = pq.read_table(data / "0.parquet")
    (data / "0.parquet").unlink()
    (data / "more").mkdir()
    subjects = table.column("subject_id").unique().to_numpy()
    for number, part in enumerate(np.array_split(subjects, num)):
        file = data / ("more" if number % 2 else ".") / f"{number:03}.parquet"
        rows = pc.is_in(table.column("subject_id"), pa.array(part))
        pq.write_table(table.filter(rows), file, compression="zstd")


def _add_store(work: Path, subjects: np.ndarray) -> None:
    """What a study leaves in a work folder, and what a killed process leaves beside it."""
    for name in ("tokens", "tokens-other", ".tokens-x1"):
        (work / name).mkdir(parents=True)
        np.save(work / name / "subject_ids.npy", subjects)
        np.save(work / name / "tokens.npy", np.arange(subjects.size, dtype=np.int32))
        if not name.startswith("."):
            (work / name / "manifest.json").write_text("{}")
    (work / "vocabulary.json").write_text('{"format": 2}')
    (work / "ledger").mkdir()
    (work / "ledger" / "spent.jsonl").write_text('{"epsilon": 1.0}\n')


@pytest.fixture
def sites(copied_hospitals: Any) -> Any:
    """The three hospitals with shifted identifiers, the first in twelve shards."""
    for site in copied_hospitals.sites:
        for file in site.path.rglob("*.parquet"):
            if file.name != "codes.parquet":
                _shift(file)
    _split_shards(copied_hospitals.sites[0].path / "data", 12)
    for file in copied_hospitals.path.glob("*"):
        if file.is_file() and file.name != "federation.json":
            file.unlink()  # what the simulation keeps for itself
    return copied_hospitals


@pytest.fixture
def site(sites: Any) -> Any:
    """The largest of them, in a folder of its own, as a hospital has it."""
    from fedehr_shared.meds.folder import SiteFolder

    path = sites.path.parent / "records"
    sites.sites[0].path.rename(path)
    return SiteFolder(path)


@pytest.fixture
def work(site: Any, tmp_path: Path) -> Path:
    """The site's work folder, with stores."""
    _add_store(tmp_path / "work", subjects_of(site))
    return tmp_path / "work"


def subjects_of(site: Any) -> Any:
    """The site's subjects, from its splits."""
    return pq.read_table(site.splits_file).column("subject_id").to_numpy()


@pytest.fixture(name="subjects_of")
def _subjects_of() -> Callable[[Any], Any]:
    return subjects_of


@pytest.fixture
def erase() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `fedehr-client erase` with the identifiers on standard input."""

    def run(*arguments: object, subjects: Any = (), expect: int = 0) -> Any:
        lines = "".join(f"{subject}\n" for subject in subjects)
        given = ["--from", "-"] if len(lines) else []
        command = [*PROGRAM, *map(str, arguments), *given]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, input=lines, env=ENVIRON
        )
        assert done.returncode == expect, done.stderr
        assert "Traceback" not in done.stderr
        for subject in subjects:
            assert str(subject) not in done.stdout + done.stderr
        return done

    return run


PROGRAM = [str(Path(sys.executable).with_name("fedehr-client")), "erase"]
ENVIRON = {**os.environ, "COLUMNS": "200"}


@pytest.fixture
def start_erase(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start the program and leave it running."""

    def start(*arguments: object, subjects: Any) -> subprocess.Popen[str]:
        listed = tmp_path / "leaving.txt"
        listed.write_text("".join(f"{subject}\n" for subject in subjects))
        command = [*PROGRAM, *map(str, arguments), "--yes", "--from", str(listed)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRON
        )

    return start


@pytest.fixture
def contents() -> Callable[[Path], dict[str, Any]]:
    """Every file under a folder: tables decoded, of the audit its events alone, others as bytes."""

    def read(folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for file in sorted(folder.rglob("*")):
            if file.suffix == ".parquet":
                found[str(file.relative_to(folder))] = pq.read_table(file)
            elif file.name == "audit.jsonl":
                lines = [json.loads(line) for line in file.read_text().splitlines()]
                found[file.name] = [line["event"] for line in lines]
            elif file.is_file() and file.name != "audit.head":
                found[str(file.relative_to(folder))] = file.read_bytes()
        return found

    return read
