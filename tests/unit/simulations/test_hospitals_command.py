"""`fedehr-sim hospitals` as a program: exit codes and what it prints where."""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = [
    sys.executable,
    "-c",
    "from fedehr_simulations.cli.main import run; run()",
    "hospitals",
    "--subjects",
    "300",
    "--sites",
    "3",
]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False)


def test_json_is_all_that_is_printed_and_a_second_run_is_refused(tmp_path: Path) -> None:
    out = str(tmp_path / "federation")
    first = _run("--out", out, "--json")
    assert (first.returncode, first.stderr) == (0, "")
    made = json.loads(first.stdout)
    assert sum(site["num_subjects"] for site in made["sites"]) == 300
    assert (tmp_path / "federation" / "federation.json").is_file()
    second = _run("--out", out, "--json")
    assert second.returncode == 4
    assert "exists already" in second.stderr
    assert second.stdout == ""


def test_too_few_subjects_is_a_usage_error(tmp_path: Path) -> None:
    ended = _run("--out", str(tmp_path / "few"), "--subjects", "20")
    assert ended.returncode == 2
    assert "Ask for" in ended.stderr
    assert not (tmp_path / "few").exists()
