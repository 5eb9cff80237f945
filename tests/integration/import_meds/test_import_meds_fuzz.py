"""Files with bytes changed, cut out or put in: imported or refused by name, nothing left behind."""

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.importer import run_import
from fedehr_client.importers.meds.importer import MedsImporter
from fedehr_shared.errors import DataError

FILES = ("data/0.parquet", "metadata/codes.parquet", "metadata/subject_splits.parquet",
         "labels/death.parquet")  # fmt: skip
SECRET = "7310123456789"
_changes = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(0, 20), st.binary(max_size=8)),
    min_size=1,
    max_size=6,
)
_settings = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, module_write: Any) -> Path:
    """A dataset of which every file is in order."""
    folder = tmp_path_factory.mktemp("whole") / "source"
    times = pa.array([datetime(2020, 1, 1)] * 40, pa.timestamp("us"))
    ids = pa.array([int(SECRET) + number // 4 for number in range(40)])
    module_write(
        folder / FILES[0],
        subject_id=ids, time=times, code=[f"c{number % 7}" for number in range(40)],
        numeric_value=pa.array([float(number) for number in range(40)], pa.float32()),
        text_value=[SECRET] * 40,
    )  # fmt: skip
    module_write(folder / FILES[1], code=["c1"], parent_codes=pa.array([["p"]]))
    module_write(folder / FILES[2], subject_id=ids[::4], split=["train"] * 10)
    module_write(
        folder / FILES[3],
        subject_id=ids[::4], prediction_time=times[:10], boolean_value=[True] * 10,
    )  # fmt: skip
    return folder


def _change(content: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for place, num_cut, put in changes:
        at = place % len(content)
        content = content[:at] + put + content[at + num_cut :]
    return content


def _fuzz(whole: Path, folder: Path, name: str, changes: list[tuple[int, int, bytes]]) -> None:
    source = folder / "source"
    shutil.copytree(whole, source)
    (source / name).write_bytes(_change((source / name).read_bytes(), changes))
    refusal = _refusal(source, folder / "site")
    assert sorted(entry.name for entry in folder.iterdir()) == ["site", "source"][bool(refusal) :]
    assert SECRET not in refusal
    assert refusal == "" or Path(name).name in refusal or "were left out" in refusal


def _refusal(source: Path, out: Path) -> str:
    try:
        run_import(
            MedsImporter(source), out, ImportSettings(memory_limit_bytes=8 * 10**9), lambda _: None
        )
    except DataError as error:
        return str(error)
    return ""


@settings(_settings, max_examples=30)
@given(name=st.sampled_from(FILES), changes=_changes)
def test_changed_files(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, name: str, changes: Any
) -> None:
    _fuzz(whole, tmp_path_factory.mktemp("fuzz"), name, changes)


@pytest.mark.long
@settings(_settings, max_examples=1_500)
@given(name=st.sampled_from(FILES), changes=_changes)
def test_many_changed_files(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, name: str, changes: Any
) -> None:
    _fuzz(whole, tmp_path_factory.mktemp("fuzz"), name, changes)
