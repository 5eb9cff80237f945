"""Real demonstration records, from their own tables to "ready", as a hospital would go."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

PROGRAM = Path(sys.executable).parent / "fedehr-client"
RECORDS = Path(__file__).parents[4] / "shared" / "data"
STUDY = """
name = "small"
[model]
layers = 1
hidden = 16
heads = 2
[sequence]
context = 64
[finetuning]
tasks = ["{task}"]
"""
BLEEDING = """
name = "gastrointestinal_bleeding"
description = "First gastrointestinal bleeding within 50 years after a first sinusitis."
[index]
codes = "SNOMED//444814009"
choose = "first"
gap_hours = 24
[exclude]
codes = ["SNOMED//74474003"]
[outcome]
codes = "SNOMED//74474003"
horizon_hours = 438_000
"""


def _run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAM), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _source(name: str) -> Path:
    if not (RECORDS / name).is_dir():
        pytest.skip(f"needs the demonstration records {name} beside the repository")
    return RECORDS / name


class Hospital(NamedTuple):
    """`task` is a built-in one, `BLEEDING`, or a label that the importer makes."""

    kind: str
    folder: str
    task: str
    site: str = "."
    options: tuple[str, ...] = ()


HOSPITALS = (
    Hospital("mimic4", "mimic4_demo", "stay_over_3_days"),
    Hospital("omop", "omop_gibleed", "gastrointestinal_bleeding"),
    Hospital("eicu", "eicu_demo", "long_stay", "south", ("--site-by", "region")),
)


@pytest.mark.parametrize(
    "hospital",
    [HOSPITALS[0], *(pytest.param(other, marks=pytest.mark.long) for other in HOSPITALS[1:])],
    ids=lambda hospital: hospital.folder,
)
def test_from_the_hospitals_tables_to_ready(hospital: Hospital, tmp_path: Path) -> None:
    source, records = _source(hospital.folder), tmp_path / "records"
    site, task = records / hospital.site, hospital.task
    done = _run("import", hospital.kind, source, "--out", records, *hospital.options)
    assert done.returncode == 0, done.stderr
    if hospital.kind == "omop":
        (tmp_path / f"{task}.toml").write_text(BLEEDING)
    if hospital.kind != "eicu":
        asked = tmp_path / f"{task}.toml" if hospital.kind == "omop" else task
        done = _run("label", "make", site, asked)
        assert done.returncode == 0, done.stderr

    study = tmp_path / "study.toml"
    study.write_text(STUDY.format(task=task))
    done = _run("check", site, "--study", study, "--device", "cpu", "--json")

    report = json.loads(done.stdout)
    assert (done.returncode, report["ready"]) == (0, True), done.stderr
    found = {f["name"]: f["verdict"] for s in report["sections"] for f in s["findings"]}
    assert found["training_step"] == "ok"
    assert found[f"leakage.{task}"] == "ok"
    assert found[f"labels.{task}"] in {"ok", "warning"}
