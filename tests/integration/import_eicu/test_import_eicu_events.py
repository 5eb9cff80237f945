"""Where an event is placed and what it is called, on the made-up tables."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedehr_client.importers.eicu.importer import EicuImporter
from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.importer import run_import
from fedehr_shared.meds.folder import FederationFolder


def _run(importer: EicuImporter, out: Path) -> None:
    run_import(importer, out, ImportSettings(memory_limit_bytes=8 * 10**9), lambda _: None)


def _all_events(folder: FederationFolder) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(file) for site in folder.sites for file in site.data_files])


@pytest.fixture(scope="session")
def small(made_up: EicuImporter, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    out = tmp_path_factory.mktemp("small") / "out"
    _run(made_up, out)
    return _all_events(FederationFolder(out))


def _visit(events: pd.DataFrame, visit: int) -> Iterator[tuple[str, float, float]]:
    """(code, minutes since the hospital stay's first unit admission, value)."""
    rows = events[events["visit_id"] == visit]
    start = rows[rows["code"].str.startswith("ICU_ADMISSION//")]["time"].min()
    for row in rows.itertuples():
        yield row.code, (row.time - start) / np.timedelta64(1, "m"), row.numeric_value


def test_events_are_placed_when_they_were_known(small: pd.DataFrame) -> None:
    placed = [(code, minutes) for code, minutes, _ in _visit(small, 10)]
    second = 4000 - 60
    assert ("ICU_ADMISSION//SICU", second) in placed
    assert ("DIAGNOSIS//cardiovascular|shock", second) in placed  # not 500 minutes earlier
    assert ("MEDICATION//HICL//7", 5) in placed  # started before the order was written
    assert ("MEDICATION//HICL//7", 700) in placed  # ordered before it was started
    assert {minutes for code, minutes in placed if code == "LAB//k"} == {1440, second + 1440}
    assert {0 + 60, 24 * 60, 25 * 60} <= {m for code, m in placed if code == "VITAL//hr"}


def test_codes_and_values(small: pd.DataFrame) -> None:
    rows = list(_visit(small, 10))
    assert ("INFUSION//HEPARIN//UNITS/HR", 60, 12.5) in rows
    assert any(code == "INFUSION//HEPARIN" and np.isnan(value) for code, _, value in rows)
    codes = set(small["code"])
    assert "PAST_HISTORY//Organ Systems|Cardiovascular (R)|Valve disease|s/p AVR" in codes
    assert {"MEDICATION//ASPIRIN", "ADMISSION_DX//All|Sepsis", "SEX//U", "SEX//F"} <= codes
    assert not [code for code in codes if "CANCELLED" in code]
    assert set(small[small["visit_id"].isin([12, 13])]["visit_id"]) < {12, 13}
    born = small[small["code"] == "MEDS_BIRTH"].groupby("subject_id")["time"].nunique()
    assert (born == 1).all()


def test_pressures_stand_in_for_the_hourly_set(made_up: EicuImporter, tmp_path: Path) -> None:
    _run(replace(made_up, hourly=None), tmp_path / "out")
    measured = _all_events(FederationFolder(tmp_path / "out")).dropna(subset=["numeric_value"])
    kinds = {code for code in measured["code"] if code.startswith(("VITAL", "LAB"))}
    assert kinds == {"VITAL//sbp", "VITAL//dbp"}
