"""Giving up the disk, with real files, as root and as an ordinary user."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.child.confinement import confine
from fedehr_client.child.landlock import Landlock

HERE = Path(__file__).parent
IS_ROOT = os.getuid() == 0
ORDINARY = 65_534 if IS_ROOT else os.getuid()
needs_root = pytest.mark.skipif(not IS_ROOT, reason="needs root")
USERS = [pytest.param(0, id="root", marks=needs_root), pytest.param(ORDINARY, id="user")]


def _version() -> int:
    try:
        return Landlock().version
    except OSError:
        return 0


VERSION = _version()
needs_landlock = pytest.mark.skipif(not VERSION, reason="this kernel has no Landlock (Linux 5.19)")


@pytest.fixture
def node() -> Iterator[Path]:
    """A node's folder that an ordinary user may write as its own."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    (folder / "work").mkdir()
    (folder / "contracts").mkdir()
    for name in ("contract.json", "spare", "full"):
        (folder / "contracts" / name).write_text("waiting")
    (folder / "work" / "old link").symlink_to(folder / "contracts" / "contract.json")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
        if IS_ROOT:
            os.chown(path, ORDINARY, ORDINARY, follow_symlinks=False)
    yield folder
    shutil.rmtree(folder)


def _write_out(node: Path, is_confined: str, user: int, *refused: str) -> dict[str, Any]:
    places = (str(node / "work"), str(node / "contracts"))
    as_user: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if IS_ROOT else {}
    with subprocess.Popen(["/bin/sleep", "60"], **as_user) as victim:
        script = [sys.executable, str(HERE / "writing_out.py"), is_confined, str(user), *places]
        script.append(str(victim.pid))
        if refused:
            script = [sys.executable, str(HERE / "refusing.py"), *refused, "--", *script]
        done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
        victim.kill()
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("user", USERS)
def test_whoever_does_not_give_it_up_has_the_disk_of_its_account(node: Path, user: int) -> None:
    """Else the tests below would show nothing."""
    told = _write_out(node, "no", user)
    # Its contract was moved away by then.
    late = {"symlink", "pipe", "link out"}
    done = {name for name, came in told["others"].items() if came == "done"}
    assert done >= set(told["others"]) - late - {"memory of another", "root of another"}
    assert set(told["emptying"].values()) | set(told["signals"].values()) == {"done"}
    if user == 0:
        assert told["others"]["memory of another"] == "done"


@needs_landlock
@pytest.mark.parametrize("user", USERS)
def test_nothing_is_written_but_below_the_work_folder(node: Path, user: int) -> None:
    told = _write_out(node, "yes", user)
    assert str(node / "work") in told["folders"]
    assert "done" not in told["others"].values(), told["others"]
    assert set(told["own"].values()) == {"done"}, told["own"]
    assert told["mounts"]["mount"] == "EPERM"
    left = {file.name: file.read_text() for file in (node / "contracts").iterdir()}
    assert set(left) == {"contract.json", "spare", "full"}
    if VERSION >= 3:
        assert set(told["emptying"].values()) == {"EACCES"}
        assert set(left.values()) == {"waiting"}
        assert told["fault"] == ""
    else:
        assert "empty" in told["text"]
    if VERSION >= 6:
        assert told["signals"] == {"signal": "EPERM"}


@pytest.mark.parametrize("user", USERS)
def test_where_the_kernel_has_none_it_says_so(node: Path, user: int) -> None:
    told = _write_out(node, "yes", user, "landlock")
    assert told["folders"] == []
    assert told["text"].startswith(
        "it can write wherever its account can: the kernel has no Landlock"
    )
    assert told["others"]["overwrite"] == "done"


def test_a_process_with_threads_is_told_that_it_cannot(tmp_path: Path) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        found = confine(tmp_path)
    finally:
        stop.set()
        thread.join()
    assert found.folders == ()
    assert "threads" in found.describe()
    (tmp_path.parent / "written").write_text("still")
