"""Real records that another importer turned into MEDS come through unchanged, byte for byte."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_DEMO = Path(__file__).resolve().parents[4] / "shared" / "data" / "mimic4_demo"


def _run(*arguments: object) -> str:
    program = Path(sys.executable).with_name("fedehr-client")
    command = [str(program), "import", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_mimic4_demo_through_meds(tmp_path: Path) -> None:
    if not _DEMO.is_dir():
        pytest.skip(f"no {_DEMO}: real records are not part of the repository")
    _run("mimic4", _DEMO, "--out", tmp_path / "first")
    said = json.loads(_run("meds", tmp_path / "first", "--out", tmp_path / "second"))
    assert (said["repairs"], said["left_out"]) == ({}, {})
    first, second = (
        {f.relative_to(folder): f.read_bytes() for f in folder.rglob("*.parquet")}
        for folder in (tmp_path / "first", tmp_path / "second")
    )
    assert len(first) >= 3
    assert first == second
