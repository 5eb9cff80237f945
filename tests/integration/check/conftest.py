"""A site that is ready, and ways to damage a copy of it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

MIN_CELL = 5
Rewrite = Callable[[pa.Table], pa.Table]


@pytest.fixture
def site(hospitals: Any, tmp_path: Path) -> Any:
    """A copy of the largest synthetic hospital that a test may change."""
    from fedehr_shared.meds.folder import SiteFolder

    largest = max(hospitals.sites, key=lambda s: s.data_files[0].stat().st_size)
    shutil.copytree(largest.path, tmp_path / "site")
    return SiteFolder(tmp_path / "site")


@pytest.fixture
def check() -> Callable[..., Any]:
    """`check(site)`: the report, for a minimum cell of 5."""
    from fedehr_client.check.check import CheckSettings, check_site
    from fedehr_client.compute.config import ComputeConfig

    def run(site: Any, **changes: Any) -> Any:
        settings: dict[str, Any] = {
            "study": None,
            "vocabulary": None,
            "min_cell": MIN_CELL,
            "memory_limit_bytes": 400_000_000,
            "compute": ComputeConfig(device="cpu"),
        }
        return check_site(site, CheckSettings(**{**settings, **changes}), lambda step: None)

    return run


@pytest.fixture
def rewrite() -> Callable[[Path, Rewrite], None]:
    """`rewrite(file, change)`: a Parquet file with its table changed."""

    def run(file: Path, change: Rewrite) -> None:
        pq.write_table(change(pq.read_table(file)), file)

    return run
