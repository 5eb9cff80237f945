"""A node that is killed, stopped or paused comes to its end, and begins again."""

import os
import signal
import subprocess
import time
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def north(coordinator: Any) -> Any:
    site = coordinator.make_site("north")
    coordinator.add(site)
    site.must("start", "--detach")
    return site


def test_a_pause_outlives_a_restart(north: Any, wait_for: Any) -> None:
    north.must("pause", "--reason", "the scanner is in use")
    north.must("stop")
    assert north.status()["paused"]["reason"] == "the scanner is in use"
    north.must("start", "--detach")
    wait_for(lambda: north.told()["state"] == "paused", 5)
    assert north.told()["unready"] == "paused"
    assert "the scanner is in use" in north.must("status")
    north.must("resume")
    wait_for(lambda: not north.told()["unready"], 60)


def test_a_killed_supervisor_leaves_nothing_running(north: Any, alive: Any, wait_for: Any) -> None:
    processes = north.members()
    os.kill(north.told()["pid"], signal.SIGKILL)
    print(f"gone after {wait_for(lambda: not alive(processes), 30):.1f} s")
    status = north.status()
    assert (status["running"], status["state"]) == (False, "stopped")
    assert "killed" in status["reason"]
    north.must("start", "--detach")
    assert "lapses" not in north.read("node"), "the SuperNode had taken its leave"


def test_what_nothing_else_ended_is_ended_by_the_next_start(
    north: Any, alive: Any, wait_for: Any
) -> None:
    wait_for(lambda: len(north.members()) == 2, 30)
    processes = north.members()
    supervisor = psutil.Process(north.told()["pid"])
    (guard,) = [each for each in supervisor.children() if "guard" in " ".join(each.cmdline())]
    for process in processes:
        # Stopped, they cannot end when they are asked to.
        process.suspend()
    guard.kill()
    supervisor.kill()
    time.sleep(1.0)
    assert len(alive(processes)) == 2
    north.must("start", "--detach")
    assert alive(processes) == []
    assert "ended 2 process(es) of a supervisor that was killed" in north.read("node")
    wait_for(lambda: len(north.members()) == 2, 30)
    assert "none left" in north.must("stop")


def test_a_foreground_node_ends_at_sigterm(coordinator: Any, alive: Any) -> None:
    site = coordinator.make_site("south")
    coordinator.add(site)
    with psutil.Popen(
        [coordinator.program("fedehr-client"), "start", str(site.folder)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert "joined" in process.stdout.readline()
        processes = site.members()
        begin = time.monotonic()
        process.terminate()
        assert process.wait(30) == 0
        assert time.monotonic() - begin < 30
        assert "none left" in process.stdout.read()
    assert alive(processes) == []
    assert site.told()["state"] == "stopped"
    assert site.members() == []
    assert "nothing was running" in site.must("stop")
