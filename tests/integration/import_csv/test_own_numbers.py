"""A hospital that names its subjects by text: labels and erasure by its own numbers."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fedehr_client.identity import IdentityHash, subject_id_of

PROGRAM = Path(sys.executable).parent / "fedehr-client"
MAPPING = """
[source]
name = "made up"
[subject]
column = "mrn"
kind = "text"
key_file = "subjects.key"
[[events]]
table = "visits"
time = "day"
code = "VISIT//{kind}"
"""
SUBJECTS = [f"MRN-{number:04d}/x" for number in range(40)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Tables, a mapping and its key."""
    rows = [f"{mrn},2020-01-{1 + n % 28:02d},a{n % 3}" for n, mrn in enumerate(SUBJECTS)]
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "visits.csv").write_text("mrn,day,kind\n" + "\n".join(rows) + "\n")
    (tmp_path / "mapping.toml").write_text(MAPPING)
    (tmp_path / "subjects.key").write_text("0123456789abcdef" * 2)
    return tmp_path


def _run(place: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAM), *words]
    return subprocess.run(
        command, cwd=place, input=stdin, capture_output=True, text=True, check=False
    )


def _import(place: Path, *options: str) -> set[int]:
    done = _run(
        place, "import", "csv", "tables", "--mapping", "mapping.toml", "--out", "site", *options
    )
    assert done.returncode == 0, done.stderr
    file = place / "site" / "metadata" / "subject_splits.parquet"
    return set(pq.read_table(file)["subject_id"].to_pylist())


def test_labels_and_erasure_go_by_the_hospitals_own_numbers(place: Path) -> None:
    identity = IdentityHash.read(place / "subjects.key")
    numbers = {subject_id_of(mrn, identity) for mrn in SUBJECTS}
    assert _import(place) == numbers

    rows = [f"{mrn},2020-03-01,{n % 2}" for n, mrn in enumerate(SUBJECTS)]
    (place / "outcomes.csv").write_text(
        "subject_id,prediction_time,value\n" + "\n".join(rows) + "\n"
    )
    words = ("label", "import", "site", "outcomes.csv", "--task", "own", "--kind", "binary")
    assert _run(place, *words).returncode == 4
    done = _run(place, *words, "--subject-key", "subjects.key", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num"] == len(SUBJECTS)
    labels = pq.read_table(place / "site" / "labels" / "own.parquet")
    assert set(labels["subject_id"].to_pylist()) == numbers

    words = ("erase", "site", "--from", "-", "--yes", "--json")
    assert _run(place, *words, stdin=SUBJECTS[7]).returncode == 2
    done = _run(place, *words, "--subject-key", "subjects.key", stdin=f"{SUBJECTS[7]}\n")
    assert done.returncode == 0, done.stderr
    assert SUBJECTS[7] not in done.stdout + done.stderr
    left = numbers - {subject_id_of(SUBJECTS[7], identity)}
    labels = pq.read_table(place / "site" / "labels" / "own.parquet")
    assert set(labels["subject_id"].to_pylist()) == left
    assert _import(place, "--replace") == left


def test_a_number_of_63_bits_is_a_subject(place: Path) -> None:
    """Numbers made of text have up to 19 digits, and so have many hospitals' own."""
    numbers = sorted(_import(place))
    assert max(numbers) >= 10**18
    rows = [f"{number},2020-03-01,{n % 2}" for n, number in enumerate(numbers)]
    (place / "outcomes.csv").write_text(
        "subject_id,prediction_time,value\n" + "\n".join(rows) + "\n"
    )
    done = _run(
        place, "label", "import", "site", "outcomes.csv", "--task", "own", "--kind", "binary",
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num"] == len(numbers)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0), ("-1", -1), ("+5", 5), ("007", 7), (str(2**63 - 1), 2**63 - 1),
        (str(-(2**63)), -(2**63)), (str(2**63), None), ("1" * 20, None), ("", None), ("1.0", None),
        ("--1", None), ("\u0661", None), ("1e5", None), ("-", None), ("+-3", None), ("-+3", None),
    ],
)  # fmt: skip
def test_what_is_a_subject_id(text: str, number: int | None) -> None:
    assert subject_id_of(text, None) == number
