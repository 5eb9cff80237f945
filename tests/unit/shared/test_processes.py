"""Process families with real processes: all end, nobody else does; ports are told apart."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedehr_shared.errors import NetworkError
from fedehr_shared.ports import free_port, require_free_port
from fedehr_shared.processes import ProcessFamily, engine_environment

# A child in a session of its own that ignores SIGTERM, as the engine's programs may.
FAMILY = """
import signal, subprocess, sys, time
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def start() -> Iterator[Callable[[Path], ProcessFamily]]:
    started = []

    def begin(folder: Path) -> ProcessFamily:
        family, process = _start(folder)
        started.append((family, process))
        return family

    yield begin
    for family, process in started:
        family.stop(grace_seconds=0.2)
        process.wait(10)


def _start(folder: Path) -> tuple[ProcessFamily, subprocess.Popen[bytes]]:
    family = ProcessFamily(folder / "family.json")
    command = [sys.executable, "-c", FAMILY]
    process = family.start(command, engine_environment(), folder / "log", {"port": 7})
    deadline = time.monotonic() + 20
    while len(family.members()) < 2 or b"up" not in (folder / "log").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert family.members()[0] == process.pid
    return family, process


def test_every_member_ends_and_another_family_lives(
    tmp_path: Path, start: Callable[[Path], ProcessFamily]
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = start(tmp_path / "one"), start(tmp_path / "two")
    assert one.facts() == {"port": 7}
    assert one.stop(grace_seconds=1.0) == 2
    assert one.members() == []
    assert not one.is_running()
    assert len(two.members()) == 2


def test_orphans_are_found(tmp_path: Path, start: Callable[[Path], ProcessFamily]) -> None:
    family = start(tmp_path)
    os.kill(family.members()[0], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while family.is_running():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(family.members()) == 1
    assert family.stop(grace_seconds=0.5) == 1
    assert family.members() == []


def test_nothing_started_is_nothing_to_stop(tmp_path: Path) -> None:
    family = ProcessFamily(tmp_path / "family.json")
    assert family.stop() == 0
    assert family.facts() == {}


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(NetworkError, match=f"port {port} .* Do this"):
            require_free_port(port, "Do this.")
    require_free_port(free_port(), "")
