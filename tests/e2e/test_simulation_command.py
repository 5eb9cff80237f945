"""`fedehr-sim run` refuses what cannot work before anything starts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

PROGRAM = Path(sys.executable).parent / "fedehr-sim"


def simulate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "run", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> Path:
    file = tmp_path / "study.toml"
    file.write_text('name = "s"\n[finetuning]\ntasks = ["death", "stay"]\n')
    return file


@pytest.fixture
def sites(tmp_path: Path) -> Path:
    folder = tmp_path / "sites"
    for part in ("data/0.parquet", "metadata/codes.parquet", "labels/death.parquet"):
        for name in ("north", "south"):
            (folder / name / part).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / part).touch()
    return folder


def test_an_unknown_key_is_a_configuration_error(study: Path, sites: Path, tmp_path: Path) -> None:
    study.write_text(study.read_text() + "[masking]\nrato = 0.2\n")
    answer = simulate(study, "--sites", sites, "--out", tmp_path / "out")
    assert answer.returncode == 3
    assert "masking.rato" in answer.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("folders", "text"),
    [
        pytest.param(("nowhere", "out"), "no federation folder", id="no-sites"),
        pytest.param(("sites", "taken"), "exists already", id="out-exists"),
        pytest.param(("sites", "out"), "no site has labels for task 'stay'", id="task-unknown"),
    ],
)
def test_wrong_folders_are_data_errors(
    folders: tuple[str, str], text: str, study: Path, sites: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    answer = simulate(
        study, "--sites", sites.parent / folders[0], "--out", tmp_path / folders[1], "--json"
    )
    assert answer.returncode == 4
    assert text in " ".join(answer.stderr.split())
    assert answer.stdout == ""
    assert list((tmp_path / "taken").iterdir()) == []
    assert not (tmp_path / "out").exists()


def test_no_actor_is_a_usage_error(study: Path, sites: Path, tmp_path: Path) -> None:
    answer = simulate(study, "--sites", sites, "--out", tmp_path / "out", "--actors", "0")
    assert answer.returncode == 2
    assert not (tmp_path / "out").exists()


def test_a_failed_run_names_its_log_and_prints_no_json(
    study: Path, sites: Path, tmp_path: Path
) -> None:
    study.write_text('name = "s"\n[finetuning]\ntasks = ["death"]\n')
    answer = simulate(study, "--sites", sites, "--out", tmp_path / "out", "--json")
    # The sites' files are empty: the real apps must say so, whatever the class of the error.
    assert answer.returncode != 0
    assert answer.stdout == ""
    log = tmp_path / "out/logs/federated.log"
    assert str(log) in answer.stderr.replace("\n", "")
    assert log.exists()
    lines = [line for line in answer.stderr.splitlines() if "engine" in line]
    assert any("starting the engine" in line for line in lines), json.dumps(lines)
