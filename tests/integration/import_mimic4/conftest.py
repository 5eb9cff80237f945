"""The real MIMIC-IV demonstration tables where present, imported once."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import pandas as pd

REAL = Path(__file__).parents[4] / "shared" / "data" / "mimic4_demo"


@pytest.fixture(scope="session")
def demo() -> Path:
    if not REAL.is_dir():
        pytest.skip("no MIMIC-IV demo tables in ../shared/data")
    return REAL


@pytest.fixture(scope="session")
def imported(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The site folder and the import's summary. Read only."""
    from fedehr_client.importers.engine.settings import ImportSettings
    from fedehr_client.importers.engine.write import write_records
    from fedehr_client.importers.mimic4.importer import mimic4_importer

    out = tmp_path_factory.mktemp("mimic4") / "site"
    return out, write_records(
        mimic4_importer(demo), out, ImportSettings(memory_limit_bytes=8 * 10**9), lambda step: None
    )


@pytest.fixture(scope="session")
def events(imported: tuple[Path, Any]) -> "pd.DataFrame":
    """All events, as MEDS has them."""
    import pandas as pd

    return pd.concat(
        [pd.read_parquet(file) for file in sorted((imported[0] / "data").glob("*.parquet"))],
        ignore_index=True,
    )


@pytest.fixture(scope="session")
def codes(imported: tuple[Path, Any]) -> "pd.DataFrame":
    """`codes.parquet`, by code."""
    import pandas as pd

    return pd.read_parquet(imported[0] / "metadata" / "codes.parquet").set_index("code")


@pytest.fixture(scope="session")
def table(demo: Path) -> "Callable[[str], pd.DataFrame]":
    """`table("hosp/admissions")`: pandas' own reading of a file, every cell as text."""
    import pandas as pd

    def read(name: str) -> pd.DataFrame:
        return pd.read_csv(demo / f"{name}.csv.gz", dtype=str, keep_default_na=False)

    return read
