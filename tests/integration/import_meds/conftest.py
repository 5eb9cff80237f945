"""Small MEDS datasets as other tools write them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Row = tuple[int, datetime | None, str, float | None]
START = datetime(2020, 1, 1)


def write(file: Path, **columns: Any) -> Path:
    """A Parquet file of these columns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file)
    return file


def shard(file: Path, rows: Sequence[Row], **more: Any) -> Path:
    """A shard in today's columns."""
    ids, times, codes, values = zip(*rows, strict=True)
    return write(
        file,
        subject_id=pa.array(ids, pa.int64()),
        time=pa.array(times, pa.timestamp("us")),
        code=pa.array(codes, pa.string()),
        numeric_value=pa.array(values, pa.float32()),
        **more,
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Six subjects in two shards, as MEDS 0.4 wants them, without metadata."""
    for number, ids in enumerate(((1, 2, 3), (4, 5, 6))):
        rows: list[Row] = []
        for subject in ids:
            rows.append((subject, None, f"SEX//{'FM'[subject % 2]}", None))
            rows += [(subject, START.replace(day=d), "LAB//x", d / 2) for d in (1, 2, 3)]
        shard(tmp_path / "source" / "data" / f"{number}.parquet", rows)
    return tmp_path / "source"


@pytest.fixture
def import_meds(tmp_path: Path) -> Callable[..., Any]:
    """Import into `tmp_path / "site"`; returns the summary."""
    from fedehr_client.importers.engine.settings import ImportSettings
    from fedehr_client.importers.importer import run_import
    from fedehr_client.importers.meds.importer import MedsImporter

    def run(source: Path, out: str = "site", **options: Any) -> Any:
        settings = {"max_bad_share", "replace", "timezone", "split_key"} & options.keys()
        chosen = ImportSettings(
            memory_limit_bytes=8 * 10**9, **{name: options.pop(name) for name in settings}
        )
        return run_import(MedsImporter(source, **options), tmp_path / out, chosen, lambda _: None)

    return run


@pytest.fixture
def site(tmp_path: Path) -> Any:
    """Where `import_meds` writes."""
    from fedehr_shared.meds.folder import SiteFolder

    return SiteFolder(tmp_path / "site")


@pytest.fixture(name="write")
def _write() -> Callable[..., Path]:
    return write


@pytest.fixture(scope="module")
def module_write() -> Callable[..., Path]:
    """`write` for fixtures of a whole module."""
    return write


@pytest.fixture(name="shard")
def _shard() -> Callable[..., Path]:
    return shard
