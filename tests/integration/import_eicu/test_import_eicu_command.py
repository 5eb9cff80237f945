"""The command `fedehr-client import eicu`: bad input is named, refused, and leaves nothing."""

import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fedehr_client.importers.eicu.importer import EicuImporter
from fedehr_shared.meds.folder import FederationFolder


def _num_events(folder: FederationFolder) -> int:
    return sum(pq.read_metadata(file).num_rows for site in folder.sites for file in site.data_files)


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _copy(source: EicuImporter, folder: Path) -> Path:
    folder.mkdir()
    for file in source.source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def _run_program(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("fedehr-client")
    command = [str(program), "import", "eicu", *map(str, arguments)]
    environ = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ)


def _remove_table(folder: Path) -> None:
    (folder / "treatment.csv.gz").unlink()


def _truncate(folder: Path) -> None:
    file = folder / "medication.csv.gz"
    file.write_bytes(file.read_bytes()[:-5])


def _damage(folder: Path) -> None:
    file = folder / "hospital.csv.gz"
    content = bytearray(file.read_bytes())
    content[-6] ^= 0xFF  # the checksum
    file.write_bytes(bytes(content))


def _put_text(folder: Path) -> None:
    rows: list[list[object]] = [[1, 60, "a|b", "True"], [2, "secret", "a|b", "True"]]
    with gzip.open(folder / "treatment.csv.gz", "wt", newline="") as stream:
        header = "patientunitstayid,treatmentoffset,treatmentstring,activeupondischarge"
        csv.writer(stream).writerows([header.split(","), *rows])


def _remove_hourly(folder: Path) -> None:
    (folder / "dyn.parquet").unlink()


def _truncate_hourly(folder: Path) -> None:
    file = folder / "dyn.parquet"
    file.write_bytes(file.read_bytes()[:-100])


def _drop_column(folder: Path) -> None:
    with gzip.open(folder / "diagnosis.csv.gz", "wt") as stream:
        stream.write("patientunitstayid,diagnosisoffset,icd9code\n1,2,\n")


BAD = {
    "missing table": (_remove_table, ["table 'treatment' is missing", "{tables}"]),
    "truncated gzip": (_truncate, ["table 'medication'", "truncated or damaged"]),
    "wrong checksum": (_damage, ["table 'hospital'", "truncated or damaged"]),
    "text for a number": (_put_text, ["'treatment'", "'treatmentoffset'", "row 2"]),
    "missing hourly": (_remove_hourly, ["holds no dyn.parquet", "{tables}"]),
    "truncated hourly": (_truncate_hourly, ["not a whole Parquet file"]),
    "missing column": (_drop_column, ["lacks column(s) diagnosisstring"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_and_leaves_nothing(
    case: str, made_up: EicuImporter, tmp_path: Path
) -> None:
    spoil, fragments = BAD[case]
    tables = _copy(made_up, tmp_path / "tables")
    spoil(tables)
    out = tmp_path / "made" / "out"
    arguments = (tables, "--hourly", tables, "--out", out, "--site-by", "region")
    ended = _run_program(*arguments)
    assert ended.returncode == 4, ended.stderr
    for fragment in fragments:
        assert fragment.format(tables=tables) in ended.stderr
    assert "secret" not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert not out.parent.exists() or not list(out.parent.iterdir())


def test_the_program_prints_counts_and_refuses_to_overwrite(
    made_up: EicuImporter, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--hourly", made_up.hourly, "--out", out, "--site-by", "region", "--json")
    ended = _run_program(made_up.source, *options)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert {site["name"] for site in told["sites"]} == {"midwest", "no-region", "south"}
    assert told["num_events"] == _num_events(FederationFolder(out))
    before = _contents(out)
    again = _run_program(made_up.source, *options)
    assert (again.returncode, again.stdout) == (4, "")
    assert "exists already" in again.stderr
    assert _contents(out) == before


def test_an_unknown_grouping_is_a_usage_error(made_up: EicuImporter, tmp_path: Path) -> None:
    ended = _run_program(made_up.source, "--out", tmp_path / "out", "--site-by", "planet")
    assert ended.returncode == 2
    assert "region-bed" in ended.stderr
    assert not list(tmp_path.iterdir())
