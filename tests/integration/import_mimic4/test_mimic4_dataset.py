"""The site folder as others read it: meds' own schemas, and when codes are known."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import meds
import pandas as pd
import pyarrow.parquet as pq

PROGRAM = Path(sys.executable).parent / "fedehr-client"
BILLING = ("ICD9CM//", "ICD10CM//", "ICD9Proc//", "ICD10PCS//", "DRG//", "HCPCS//")


def test_meds_itself_finds_nothing_wrong(imported: tuple[Path, Any]) -> None:
    site, _ = imported
    data = [pq.read_table(file) for file in (site / "data").glob("*.parquet")]
    for table in data:
        meds.DataSchema.validate(table.select(["subject_id", "time", "code", "numeric_value"]))
    meds.CodeMetadataSchema.validate(pq.read_table(site / "metadata" / "codes.parquet"))
    meds.SubjectSplitSchema.validate(pq.read_table(site / "metadata" / "subject_splits.parquet"))
    meds.DatasetMetadataSchema.validate(
        json.loads((site / "metadata" / "dataset.json").read_text())
    )


def test_no_billing_code_is_known_within_72_hours_of_the_discharge(
    events: pd.DataFrame, codes: pd.DataFrame
) -> None:
    billed = events[events["code"].str.startswith(BILLING)]
    discharged = (
        events[events["code"].str.startswith("HOSPITAL_DISCHARGE//")]
        .set_index("visit_id")["time"]
        .rename("discharged")
    )
    billed = billed.join(discharged, on="visit_id").join(codes["delay_hours"], on="code")
    assert len(billed) > 5_000
    assert billed["discharged"].notna().all()
    known = billed["time"] + pd.to_timedelta(billed["delay_hours"], unit="h")
    assert (known >= billed["discharged"] + pd.Timedelta(hours=72)).all()
    others = codes[~codes.index.str.startswith(BILLING)]
    assert (others["delay_hours"].fillna(0) == 0).all()


def test_nothing_static_but_the_sex_and_nothing_before_birth(events: pd.DataFrame) -> None:
    static = events[events["time"].isna()]
    assert static["code"].str.startswith("SEX//").all()
    born = events[events["code"] == "MEDS_BIRTH"].set_index("subject_id")["time"].rename("born")
    timed = events[events["time"].notna()].join(born, on="subject_id")
    assert (timed["time"] >= timed["born"]).all()


def test_the_command_gives_the_same_bytes_again(
    imported: tuple[Path, Any], demo: Path, tmp_path: Path
) -> None:
    out = tmp_path / imported[0].name
    done = subprocess.run(
        [PROGRAM, "import", "mimic4", demo, "--out", out, "--json", "--memory-limit", "700MB"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["num_subjects"] == 100
    assert _contents(out) == _contents(imported[0])


def _contents(folder: Path) -> dict[Path, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(folder): file.read_bytes() for file in files}


def test_a_missing_required_table_is_named(demo: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(demo / "hosp", source / "hosp", ignore=shutil.ignore_patterns("adm*", "lab*"))
    (source / "hosp").chmod(0o755)
    done = subprocess.run(
        [PROGRAM, "import", "mimic4", source, "--out", tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert "admissions (hosp/admissions)" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["source"]


def test_tables_that_may_be_missing_are_counted(demo: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "source" / "hosp", tmp_path / "out"
    source.mkdir(parents=True)
    for name in ("patients", "admissions", "d_labitems"):
        shutil.copy(demo / "hosp" / f"{name}.csv.gz", source)
    done = subprocess.run(
        [PROGRAM, "import", "mimic4", source.parent, "--out", out, "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    left_out = json.loads(done.stdout)["left_out"]
    assert left_out["mapping_sections_without_table_labevents"] == 1
    assert left_out["mapping_sections_without_table_icustays"] == 1
    assert left_out["mapping_sections_without_table_diagnoses_icd"] == 2
    codes = pd.read_parquet(out / "metadata" / "codes.parquet")["code"]
    kinds = {code.split("//")[0] for code in codes}
    assert kinds == {
        "MEDS_BIRTH", "MEDS_DEATH", "SEX", "HOSPITAL_ADMISSION", "HOSPITAL_DISCHARGE",
        "EMERGENCY_VISIT",
    }  # fmt: skip
