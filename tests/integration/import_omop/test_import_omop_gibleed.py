"""The real demo tables: valid MEDS, the counts that pandas finds, the source untouched."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import meds
import pandas as pd
import pyarrow.parquet as pq
import pytest

STARTS = {
    "condition_occurrence": ("condition_concept_id", "condition_start_date"),
    "drug_exposure": ("drug_concept_id", "drug_exposure_start_date"),
    "procedure_occurrence": ("procedure_concept_id", "procedure_date"),
    "measurement": ("measurement_concept_id", "measurement_date"),
    "observation": ("observation_concept_id", "observation_date"),
}


@pytest.fixture
def imported(gibleed: Path, run_import: Callable[..., Any]) -> Any:
    return run_import(gibleed)


def _read(folder: Path, table: str) -> pd.DataFrame:
    frame = pd.read_csv(folder / f"{table}.csv.gz", dtype=str)
    names = [name.removeprefix("date(").partition(",")[0].lower() for name in frame.columns]
    return frame.set_axis(names, axis=1)


def _expected(folder: Path) -> pd.DataFrame:
    """Events of the clinical tables by the stated rules, as pandas works them out."""
    concept = _read(folder, "concept").query("standard_concept == 'S'")
    code = (concept["vocabulary_id"] + "//" + concept["concept_code"]).set_axis(
        concept["concept_id"]
    )
    parts = []
    for table, (concept_column, date_column) in STARTS.items():
        rows = _read(folder, table)
        part = pd.DataFrame({"subject_id": rows["person_id"].astype("int64")})
        part["time"] = pd.to_datetime(rows[date_column]) + pd.Timedelta(seconds=86399)
        part["code"] = rows[concept_column].map(code)
        part["visit_id"] = pd.to_numeric(rows["visit_occurrence_id"]).astype("Int64")
        parts.append(part)
    return pd.concat(parts).drop_duplicates()


def test_events_are_those_that_pandas_finds(gibleed: Path, imported: Any) -> None:
    events = pd.concat(
        [pd.read_parquet(file) for file in sorted((imported.path / "data").glob("*.parquet"))]
    )
    clinical = events[events["code"].str.match("SNOMED|RxNorm|LOINC|CVX")]
    expected = _expected(gibleed)
    columns = ["subject_id", "time", "code", "visit_id"]
    found = clinical[columns].astype({"visit_id": "Int64", "time": "datetime64[us]"})
    expected = expected[columns].astype({"time": "datetime64[us]"})
    pd.testing.assert_frame_equal(
        found.sort_values(columns).reset_index(drop=True),
        expected.sort_values(columns).reset_index(drop=True),
        check_dtype=False,
    )
    others = events["code"].str.partition("//")[0].value_counts()
    visits, people = _read(gibleed, "visit_occurrence"), _read(gibleed, "person")
    assert others["HOSPITAL_ADMISSION"] == others["HOSPITAL_DISCHARGE"] == len(visits)
    assert others["MEDS_BIRTH"] == others["SEX"] == len(people)
    periods = _read(gibleed, "observation_period")
    known = periods["person_id"].isin(people["person_id"])
    assert others["OBSERVATION_PERIOD_END"] == known.sum()
    assert imported.summary.left_out["observation_period_of_unknown_person"] == (~known).sum()


def test_the_output_is_meds(imported: Any) -> None:
    seen: set[int] = set()
    for file in sorted((imported.path / "data").glob("*.parquet")):
        shard = pq.read_table(file)
        meds.DataSchema.validate(shard)
        subjects = set(shard.column("subject_id").to_pylist())
        assert not subjects & seen
        seen |= subjects
        frame = shard.to_pandas()
        ordered = frame.sort_values(["subject_id", "time"], na_position="first", kind="stable")
        assert frame.equals(ordered)
    codes = pq.read_table(imported.path / "metadata" / "codes.parquet")
    meds.CodeMetadataSchema.validate(codes)
    assert imported.codes_used() <= set(codes.column("code").to_pylist())
    splits = pq.read_table(imported.path / "metadata" / "subject_splits.parquet")
    meds.SubjectSplitSchema.validate(splits)
    assert set(splits.column("subject_id").to_pylist()) == seen
    dataset = json.loads((imported.path / "metadata" / "dataset.json").read_text())
    meds.DatasetMetadataSchema.validate(dataset)


def test_twice_the_same_bytes_and_the_source_untouched(
    gibleed: Path, imported: Any, run_import: Callable[..., Any]
) -> None:
    def digests() -> dict[str, str]:
        return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in gibleed.iterdir()}

    before = digests()
    assert run_import(gibleed).files() == imported.files()
    assert digests() == before


def test_delays_are_of_conditions_alone(gibleed: Path, imported: Any) -> None:
    concept = _read(gibleed, "concept").set_index("concept_id")
    used = _read(gibleed, "condition_occurrence")["condition_concept_id"].unique()
    conditions = concept.loc[used]
    expected = set(conditions["vocabulary_id"] + "//" + conditions["concept_code"])
    assert {code for code, row in imported.codes().items() if row["delay_hours"]} == expected
