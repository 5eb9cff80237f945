"""A node from its first start to its end."""

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedehr_client.audit.log import Audit

LISTING = """
import atexit, os, sys

def tell():
    words = sys.orig_argv
    if "-m" in words:
        name = words[words.index("-m") + 1]
        with open(os.path.join({folder!r}, name), "w") as file:
            file.write("\\n".join(sorted(sys.modules)))

atexit.register(tell)
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which each `python -m` of the node writes what it had imported."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "sitecustomize.py").write_text(LISTING.format(folder=str(folder)))
    return folder


@pytest.fixture(scope="module")
def north(coordinator: Any, modules: Path) -> Iterator[Any]:
    site = coordinator.make_site("north", PYTHONPATH=str(modules))
    coordinator.add(site)
    printed = site.must("start", "--detach")
    assert f"joined localhost:{coordinator.port}" in printed
    return site


def _get(site: Any, path: str) -> tuple[int, str]:
    link = http.client.HTTPConnection("127.0.0.1", site.told()["http_port"], timeout=10)
    try:
        link.request("GET", path)
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


def _is_ready(site: Any) -> bool:
    return _get(site, "/readyz")[0] == 200


def test_a_joined_node_says_so(north: Any, wait_for: Any) -> None:
    wait_for(lambda: _is_ready(north), 30)
    status = north.status()
    assert (status["name"], status["running"], status["state"]) == ("north", True, "joined")
    assert {each["name"]: each["num_restarts"] for each in status["processes"]} == {
        "supervisor": 0, "supernode": 0, "worker": 0,
    }  # fmt: skip
    assert all(psutil.pid_exists(each["pid"]) for each in status["processes"])
    told = _get(north, "/metrics")[1]
    assert "fedehr_node_joined 1\n" in told
    assert "north" not in told
    assert "joined" in north.must("status")


def test_nothing_listens_beyond_this_machine(north: Any) -> None:
    processes = [psutil.Process(north.told()["pid"]), *north.members()]
    assert len(processes) == 3
    listening = {
        link.laddr.ip
        for process in processes
        for link in process.net_connections("inet")
        if link.status == psutil.CONN_LISTEN
    }
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert listening


def test_a_second_start_is_refused(north: Any) -> None:
    before = north.told()["pid"]
    for words in ([], ["--detach"]):
        done = north.run("start", *words)
        assert done.returncode == 2
        assert "fedehr-client stop" in done.stderr
    assert north.told()["pid"] == before
    assert len(north.members()) == 2


def test_a_pause_shows_within_two_seconds(north: Any, wait_for: Any) -> None:
    north.must("pause", "--reason", "the scanner is in use")
    wait_for(lambda: _get(north, "/readyz") == (503, "paused\n"), 2.0)
    wait_for(lambda: north.told()["state"] == "paused", 2.0)
    assert "the scanner is in use" in north.must("status")
    assert "fedehr_node_paused 1\n" in _get(north, "/metrics")[1]
    north.must("resume")
    wait_for(lambda: _is_ready(north), 30)
    assert "was not paused" in north.must("resume")


def test_a_killed_worker_is_replaced(north: Any, wait_for: Any) -> None:
    worker = north.pid("worker")
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: north.pid("worker") not in {worker, None}, 20)
    wait_for(lambda: _is_ready(north), 40)
    assert 'restarts_total{process="worker"} 1' in _get(north, "/metrics")[1]
    assert len(north.members()) == 2


def test_a_stop_leaves_nothing(north: Any, alive: Any) -> None:
    processes = [psutil.Process(north.told()["pid"]), *north.members()]
    begin = time.monotonic()
    assert f"{len(processes)} process(es) ended, none left" in north.must("stop")
    assert time.monotonic() - begin < 30
    assert alive(processes) == []
    assert (north.status()["running"], north.status()["state"]) == (False, "stopped")
    assert "nothing was running" in north.must("stop")


def test_what_ran_never_imported_torch(north: Any, modules: Path) -> None:
    supervisor = set((modules / "fedehr_client.supervision").read_text().splitlines())
    assert "fedehr_client.supervision.supervisor" in supervisor
    assert not {"torch", "flwr", "numpy", "pandas", "pyarrow", "duckdb"} & supervisor
    worker = set((modules / "fedehr_client.worker").read_text().splitlines())
    assert "fedehr_client.engine.runtime_tasks" in worker
    assert not {"torch", "pandas", "duckdb", "opacus"} & worker


def test_the_audit_tells_of_it(north: Any) -> None:
    file = north.folder / "audit.jsonl"
    Audit(file).verify()
    events = [json.loads(line)["event"] for line in file.read_text().splitlines()]
    assert events[:2] == ["start", "join"]
    assert {"pause", "resume", "stop"} <= set(events)
    assert "scanner" not in file.read_text()
