"""A node comes back by itself: after a kill, and after its coordinator was away."""

import os
import signal
from typing import Any

import pytest

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def site(coordinator: Any) -> Any:
    made = coordinator.make_site("north")
    coordinator.add(made)
    made.must("start", "--detach")
    return made


def test_a_killed_supernode_waits_out_the_refusal_of_its_key(site: Any, wait_for: Any) -> None:
    before = site.pid("supernode")
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: site.told()["state"] == "joining", 10)
    seconds = wait_for(
        lambda: site.told()["state"] == "joined" and site.pid("supernode") not in {before, None}, 90
    )
    print(f"joined again after {seconds:.0f} s")
    worker = next(each for each in site.status()["processes"] if each["name"] == "worker")
    assert worker["num_restarts"] == 0, "the worker, and what it keeps warm, stays"
    assert "lapses within a minute" in site.read("node")


def test_a_coordinator_that_was_away_is_waited_for(
    coordinator: Any, site: Any, wait_for: Any
) -> None:
    coordinator.stop()
    print(f"noticed after {wait_for(lambda: site.told()['state'] == 'waiting', 60):.0f} s")
    assert site.status()["running"] is True
    site.must("stop")
    # A restart of the hospital's machine meanwhile: it knows that it has joined before.
    done = site.run("start", "--detach")
    assert done.returncode == 0, done.stderr
    assert "waiting" in done.stderr
    coordinator.start()
    print(f"joined after {wait_for(lambda: site.told()['state'] == 'joined', 120):.0f} s")


def test_a_key_that_was_removed_is_said(coordinator: Any, site: Any, wait_for: Any) -> None:
    coordinator.must("site remove", "north")
    wait_for(lambda: site.told()["state"] != "joined", 120)
    wait_for(lambda: "no longer lets" in site.told()["reason"], 240)
    assert site.told()["needs_a_person"] is True
    left = site.must("leave")
    assert "fedehr-server site remove DIR north" in left
    assert site.members() == []
    assert (site.folder / "node.key").exists()
