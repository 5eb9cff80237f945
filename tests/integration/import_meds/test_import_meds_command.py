"""`fedehr-client import meds`: the program, on a dataset, on nonsense, and twice."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("fedehr-client")
    command = [str(program), "import", "meds", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_json_says_what_was_repaired(source: Path, tmp_path: Path) -> None:
    done = _run(source, "--out", tmp_path / "site", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 0
    assert said["repairs"]["codes_file_missing"] == 1
    assert (said["num_subjects"], said["num_events"]) == (6, 24)
    again = _run(source, "--out", tmp_path / "site")
    assert again.returncode == 4
    assert "exists already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--delay", "72"], 2, "PREFIX=HOURS"),
        (["--delay", "A//=nan"], 2, "PREFIX=HOURS"),
        (["--labels", "nowhere"], 2, "no folder nowhere"),
    ],
)
def test_refused_options(
    source: Path, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    done = _run(source, "--out", tmp_path / "site", *arguments)
    assert done.returncode == code
    assert says in done.stderr
    assert not (tmp_path / "site").exists()


def test_a_task_whose_name_no_study_could_use(source: Path, tmp_path: Path, write: Any) -> None:
    write(source / "labels" / "In Hospital.parquet", subject_id=pa.array([1]))
    done = _run(source, "--out", tmp_path / "site")
    assert done.returncode == 4
    assert "no name of a task" in done.stderr
    assert _run(source, "--out", tmp_path / "site", "--no-labels").returncode == 0
