"""`fedehr-client check` as a program: its exit code, its JSON, its page."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(sys.executable).parent / "fedehr-client"


def _check(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAM), "check", str(folder), "--min-cell", "5", "--device", "cpu", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_ready_site_ends_with_0_and_writes_the_page(site: Any, tmp_path: Path) -> None:
    done = _check(site.path, "--json", "--html", str(tmp_path / "check.html"))

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ready"] is True
    assert "Ready" in (tmp_path / "check.html").read_text()


def test_a_site_that_is_not_ready_ends_with_4_after_the_whole_report(site: Any) -> None:
    (site.path / "data" / "1.parquet").write_bytes(site.data_files[0].read_bytes())

    done = _check(site.path)

    assert done.returncode == 4
    assert "not ready" in done.stdout
    assert "error:" in done.stderr
    assert "Codes" in done.stdout


def test_a_federation_folder_names_its_sites(hospitals: Any) -> None:
    done = _check(hospitals.path)

    assert done.returncode == 4
    assert all(site.name in done.stderr for site in hospitals.sites)
    assert done.stdout == ""


@pytest.mark.long
def test_what_a_killed_check_left_is_swept_by_the_next(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token store that a check builds holds records."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    command = [str(PROGRAM), "check", str(site.path), "--min-cell", "5", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        while not list((tmp_path / "temp").glob("*/tokens")):
            assert killed.poll() is None
        killed.kill()
    assert list((tmp_path / "temp").glob(".fedehr-*")) != []

    assert _check(site.path).returncode == 0

    assert list((tmp_path / "temp").glob(".fedehr-*")) == []
