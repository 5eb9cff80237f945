"""Imports that are killed, interrupted or run twice at once, as real processes."""

import hashlib
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder_lock import try_lock_folder
from fedehr_shared.meds.new_folder import new_folder

AMPLE = ImportSettings(memory_limit_bytes=8 * 10**9)
STEPS = ["reading tables", "sorting events", "writing events", "writing codes"]


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


class Runner:
    def __init__(self, program: list[str], source: Path) -> None:
        self._program, self._source = program, source

    def start(self, out: Path, **options: object) -> subprocess.Popen[str]:
        command = [*self._program, str(self._source), str(out), json.dumps(options)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, text=True, **pipes)  # type: ignore[call-overload, no-any-return]

    def run(self, out: Path, **options: object) -> None:
        process = self.start(out, **options)
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")

    def run_until(self, step: str, number: int, out: Path, **options: object) -> str:
        """Send `number` once `step` is told; returns what it wrote to standard error."""
        with self.start(out, **options) as process:
            assert process.stdout is not None
            assert any(line.startswith(step) for line in process.stdout)
            process.send_signal(number)
            return process.communicate(timeout=120)[1]


@pytest.fixture(scope="module")
def runner(import_program: list[str], events_source: Path) -> Runner:
    return Runner(import_program, events_source)


@pytest.fixture(scope="module")
def undisturbed(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("undisturbed") / "site"
    runner.run(out)
    return _digests(out)


def test_killed_anywhere_and_run_again_gives_the_same_bytes(
    runner: Runner, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    out, temp = tmp_path / "out" / "site", tmp_path / "temp"
    for step in STEPS:
        runner.run_until(step, signal.SIGKILL, out, temp_folder=str(temp))
        assert not out.exists()
        assert list(temp.iterdir())
    runner.run(out, temp_folder=str(temp))
    assert _digests(out) == undisturbed
    assert [path.name for path in out.parent.iterdir()] == ["site"]
    assert not list(temp.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", ["reading tables", "writing events"])
def test_interrupted_leaves_nothing(number: int, step: str, runner: Runner, tmp_path: Path) -> None:
    errors = runner.run_until(step, number, tmp_path / "site")
    assert errors == "interrupted\n"
    assert not list(tmp_path.iterdir())


def test_a_killed_replacement_leaves_the_old_or_the_new(
    runner: Runner, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "site"
    runner.run(out)
    for step in [*STEPS, "putting the folder"]:
        runner.run_until(step, signal.SIGKILL, out, replace=True)
        assert _digests(out) == undisturbed
    runner.run(out, replace=True)
    assert _digests(out) == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_two_at_once_do_not_disturb_each_other(
    runner: Runner, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    first, temp = tmp_path / "first", tmp_path / "temp"
    process = runner.start(first, temp_folder=str(temp))
    assert process.stdout is not None
    assert process.stdout.readline() == "reading tables\n"
    os.kill(process.pid, signal.SIGSTOP)
    same = runner.start(first, temp_folder=str(temp))
    _, errors = same.communicate(timeout=120)
    assert same.returncode == 4
    assert "another process is writing" in errors
    # Another folder with the same place for spill files: only its own are swept.
    runner.run(tmp_path / "second", temp_folder=str(temp))
    os.kill(process.pid, signal.SIGCONT)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert _digests(first) == _digests(tmp_path / "second") == undisturbed
    assert not list(temp.iterdir())


def test_a_replacement_killed_between_its_renames_is_undone(tmp_path: Path) -> None:
    out = tmp_path / "site"
    (tmp_path / ".site.old").mkdir()
    (tmp_path / ".site.old" / "file").write_text("old")
    (tmp_path / ".site.partial").mkdir()
    (tmp_path / ".site.partial" / "file").write_text("half")
    with new_folder(out, replace=True) as folder:
        assert (out / "file").read_text() == "old"
        assert not list(folder.iterdir())
        (folder / "file").write_text("new")
    assert (out / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from fedehr_shared.meds.folder_lock import try_lock_folder\n"
        "with try_lock_folder(Path(sys.argv[1])) as locked:\n"
        "    print(locked, flush=True); time.sleep(60)\n"
    )
    import sys

    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    with try_lock_folder(tmp_path) as locked:
        assert not locked
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with try_lock_folder(tmp_path) as locked:
            if locked:
                return
    raise AssertionError("the lock outlived its process")


def test_a_linked_folder_is_replaced_where_it_lies(
    runner: Runner, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    link, site = tmp_path / "link", tmp_path / "disk" / "site"
    site.parent.mkdir()
    link.symlink_to(site)
    for options in ({}, {"replace": True}, {"replace": True}):
        runner.run(link, **options)
        assert link.readlink() == site
        assert _digests(site) == undisturbed
        assert [path.name for path in tmp_path.iterdir() if path != link] == ["disk"]
        assert [path.name for path in site.parent.iterdir()] == ["site"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "site", tmp_path / ("a" * 250)):
        with pytest.raises(DataError, match="cannot write"), new_folder(path):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_signal_in_the_middle_of_a_query_ends_it_at_once(tmp_path: Path) -> None:
    query = "SELECT sum(hash(range)) FROM range(3_000_000_000)"
    with pytest.raises(KeyboardInterrupt), Workspace(AMPLE, beside=tmp_path) as opened:  # noqa: PT012
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        started = time.monotonic()
        try:
            opened.connection.execute(query)
        finally:
            assert time.monotonic() - started < 3
    assert not list(tmp_path.iterdir())
