"""Killed with SIGKILL anywhere, an erasure run again ends as if nothing had happened."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.audit.log import Audit

Erase = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class _Programs:
    start_erase: Callable[..., subprocess.Popen[str]]
    contents: Callable[[Path], dict[str, Any]]
    gone: Any


@pytest.fixture
def programs(site: Any, subjects_of: Any, start_erase: Any, contents: Any) -> _Programs:
    """How to start the program, and half of the subjects, of whom each shard holds some."""
    return _Programs(start_erase, contents, subjects_of(site)[::2])


def _wait(process: subprocess.Popen[str], reached: Callable[[], bool]) -> bool:
    """Whether it was reached before the process ended."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if reached():
            return True
        if process.poll() is not None:
            return False
    raise AssertionError("neither reached nor ended")


@pytest.mark.parametrize("point", ["withdrawn", "journal", "shard 1", "shard 6", "splits", "codes"])
def test_killed_and_run_again(
    site: Any, work: Path, erase: Erase, programs: Any, point: str
) -> None:
    start_erase, contents, gone = programs.start_erase, programs.contents, programs.gone
    undisturbed = site.path.parent / "other" / "records"
    shutil.copytree(site.path, undisturbed)
    erase(undisturbed, "--yes", subjects=gone)

    metadata = site.path / "metadata"
    watched = {
        "shard 1": site.data_files[0],
        "shard 6": site.data_files[5],
        "splits": site.splits_file,
        "codes": site.codes_file,
    }
    new = {"withdrawn": metadata / "withdrawn.json", "journal": metadata / "erasing.json"}
    inode = watched[point].stat().st_ino if point in watched else None

    def reached() -> bool:
        if point in new:
            return new[point].exists()
        return watched[point].stat().st_ino != inode

    process = start_erase(site.path, "--work", work, subjects=gone)
    stopped = _wait(process, reached)
    process.kill()
    process.communicate()

    # The journal and the hashes say what is left to do; naming them again does no harm.
    named = gone if point in {"withdrawn", "shard 6"} or not stopped else []
    erase(site.path, "--work", work, "--yes", subjects=named)
    left, right = contents(site.path), contents(undisturbed)
    for found in (left, right):
        hashes = json.loads(found.pop("metadata/withdrawn.json"))["subjects"]
        assert len(hashes) == len(gone)
        found.pop("audit.jsonl", None)
    assert left == right
    assert not (work / "tokens").exists()
    assert 1 <= Audit(work / "audit.jsonl").verify().num_lines <= 2


def test_two_at_once_do_not_meet(site: Any, work: Path, erase: Erase, programs: Any) -> None:
    start_erase, contents, gone = programs.start_erase, programs.contents, programs.gone
    processes = [start_erase(site.path, "--work", work, subjects=gone) for _ in range(2)]
    said = [(*process.communicate(), process.returncode) for process in processes]
    assert {code for *_, code in said} <= {0, 4}
    assert any(code == 0 for *_, code in said)
    for _, err, code in said:
        assert (code == 4) == ("Repeat when it has ended" in err.replace("\n", " "))
    before = contents(site.path)
    erase(site.path, "--yes", "--dry-run", subjects=gone)
    assert contents(site.path) == before
