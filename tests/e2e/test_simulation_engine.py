"""The simulation engine with real processes: how it ends, and what it leaves behind."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.e2e

APPS = Path(__file__).parent / "simulation_apps"
COMPLETES, RAISES, WORKS_ON, FAILS, DIES, EXPOSES = range(6)
GONE_SECONDS = 20.0
# 127.0.0.1, the same in IPv6, and ::1, as the kernel prints them.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@dataclass
class Driver:
    process: subprocess.Popen[str]
    out: Path
    events: list[dict] = field(default_factory=list)

    def read(self, until: Callable[[dict], bool] | None = None) -> dict:
        """Read events up to the one wanted, or to the end of the output."""
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if until is not None and until(self.events[-1]):
                break
        return self.events[-1]

    @property
    def folders(self) -> list[Path]:
        return [Path(folder) for folder in self.first("opened")["folders"]]

    @property
    def keeper(self) -> psutil.Process:
        return psutil.Process(self.process.pid).children()[0]

    def first(self, state: str) -> dict:
        return next(event for event in self.events if event.get("state") == state)


@pytest.fixture
def sites(tmp_path: Path) -> Path:
    folder = tmp_path / "sites"
    for name in ("east", "north", "west"):
        for part in ("data/0.parquet", "metadata/codes.parquet", "labels/death.parquet"):
            file = folder / name / part
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    return folder


@contextmanager
def driving(sites: Path, out: Path, *, seed: int, private_network: bool = True) -> Iterator[Driver]:
    plan = {
        "seed": seed, "sites": str(sites), "out": str(out), "private_network": private_network,
    }  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(APPS), "https_proxy": "http://192.0.2.1:9"}
    with subprocess.Popen(
        [sys.executable, str(APPS / "drive.py"), json.dumps(plan)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield Driver(process, out)
        finally:
            process.kill()


def is_working(event: dict) -> bool:
    return event["event"] == "round"


def everything_below(driver: Driver) -> list[psutil.Process]:
    processes = psutil.Process(driver.process.pid).children(recursive=True)
    names = " ".join(process.name() for process in processes)
    assert "raylet" in names, names
    assert "gcs_server" in names, names
    assert "flower-superlin" in names, names
    return processes


def assert_nothing_left(driver: Driver, processes: list[psutil.Process]) -> None:
    deadline = time.monotonic() + GONE_SECONDS
    while time.monotonic() < deadline:
        left = [process for process in processes if runs(process)]
        folders = [folder for folder in driver.folders if folder.exists()]
        if not left and not folders:
            break
        time.sleep(0.1)
    assert left == []
    assert folders == []
    assert users_of(driver.folders) == []
    assert_private(driver.out)


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def users_of(folders: list[Path]) -> list[int]:
    """Processes whose environment names one of the folders: none may have slipped away."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if any(f"{folder}/".encode() in environment for folder in folders):
            found.append(int(entry.name))
    return found


def assert_private(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path


def listeners(processes: list[psutil.Process]) -> set[tuple[str, int]]:
    """(address in hexadecimal as the kernel prints it, port) on which the processes listen."""
    found = set()
    for process in processes:
        try:
            sockets = {os.readlink(link) for link in Path(f"/proc/{process.pid}/fd").iterdir()}
            tables = [Path(f"/proc/{process.pid}/net/{name}").read_text() for name in
                      ("tcp", "tcp6")]  # fmt: skip
        except OSError:
            continue
        for line in "".join(tables).splitlines():
            columns = line.split()
            if columns[3] == "0A" and f"socket:[{columns[9]}]" in sockets:
                address, port = columns[1].split(":")
                found.add((address, int(port, 16)))
    return found


def assert_only_loopback(driver: Driver, processes: list[psutil.Process]) -> None:
    found = listeners(processes)
    # SuperLink, GCS, raylet, the run and its actors: fewer would mean that we looked badly.
    assert len(found) >= 5
    assert {address for address, _ in found} <= LOOPBACK
    if driver.first("opened")["private_network"]:
        run = processes[-1].pid
        assert os.readlink(f"/proc/{run}/ns/net") != os.readlink("/proc/self/ns/net")
        devices = Path(f"/proc/{run}/net/dev").read_text().splitlines()[2:]
        assert [line.split(":")[0].strip() for line in devices] == ["lo"]
    else:
        for port in {port for _, port in found}:
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                pass


def assert_ports_free(ports: set[int]) -> None:
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_run_completes_and_leaves_only_its_folder(sites: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with driving(sites, out, seed=COMPLETES) as driver:
        driver.read(until=lambda event: event["event"] == "joined")
        processes = psutil.Process(driver.process.pid).children(recursive=True)
        for folder in driver.folders:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        result = driver.read()
        assert driver.process.wait() == 0
        assert_nothing_left(driver, processes)
    assert result["event"] == "result"
    assert [greeting["site"] for greeting in result["greetings"]] == ["east", "north", "west"]
    assert {greeting["proxy"] for greeting in result["greetings"]} == {""}
    assert json.loads((out / "runs/one/result.json").read_text())["status"] == "completed"
    states = [event["state"] for event in driver.events if event["event"] == "engine"]
    assert states == ["opened", "superlink", "submitted", "running", "stopping", "ended"]


@pytest.mark.parametrize(
    ("number", "private_network"),
    [
        pytest.param(signal.SIGINT, True, id="interrupted"),
        pytest.param(signal.SIGKILL, True, id="killed"),
        pytest.param(signal.SIGKILL, False, id="killed-on-shared-loopback"),
    ],
)
def test_a_stopped_driver_leaves_nothing(
    number: signal.Signals, private_network: bool, sites: Path, tmp_path: Path
) -> None:
    with driving(sites, tmp_path / "out", seed=WORKS_ON, private_network=private_network) as driver:
        driver.read(until=is_working)
        processes = everything_below(driver)
        assert_only_loopback(driver, processes)
        ports = {port for _, port in listeners(processes)}
        driver.process.send_signal(number)
        assert driver.process.wait(GONE_SECONDS) != 0
        assert_nothing_left(driver, processes)
        assert_ports_free(ports)


def test_a_killed_keeper_leaves_nothing(sites: Path, tmp_path: Path) -> None:
    with driving(sites, tmp_path / "out", seed=WORKS_ON) as driver:
        driver.read(until=is_working)
        processes = everything_below(driver)
        driver.keeper.kill()
        last = driver.read()
        assert driver.process.wait(GONE_SECONDS) == 1
        assert "its keeper ended" in last["text"]
        assert_nothing_left(driver, processes)


@pytest.mark.parametrize(
    ("seed", "exit_code", "text"),
    [
        pytest.param(RAISES, 1, "logs/one.log", id="server-app-raises"),
        pytest.param(DIES, 1, "logs/one.log", id="server-app-dies"),
        pytest.param(FAILS, 7, "the lab's deadline passed", id="result-says-failed"),
        pytest.param(EXPOSES, 6, "it listened on 0.0.0.0:", id="listens-beyond-loopback"),
    ],
)
def test_a_failed_run_says_why_and_leaves_nothing(
    seed: int, exit_code: int, text: str, sites: Path, tmp_path: Path
) -> None:
    with driving(sites, tmp_path / "out", seed=seed, private_network=False) as driver:
        driver.read(until=lambda event: event.get("state") == "running")
        processes = psutil.Process(driver.process.pid).children(recursive=True)
        last = driver.read()
        assert driver.process.wait(GONE_SECONDS) == exit_code
        assert_nothing_left(driver, processes)
    assert last["event"] == "error"
    assert text in last["text"]
    log = (tmp_path / "out/logs/one.log").read_text()
    assert ("the lab's ServerApp raises" in log) == (seed == RAISES)


@pytest.mark.long
def test_two_at_once_do_not_clash(sites: Path, tmp_path: Path) -> None:
    with (
        driving(sites, tmp_path / "a", seed=COMPLETES, private_network=False) as first,
        driving(sites, tmp_path / "b", seed=COMPLETES, private_network=False) as second,
    ):
        results = [first.read(), second.read()]
        assert [driver.process.wait() for driver in (first, second)] == [0, 0]
        assert_nothing_left(first, [])
        assert_nothing_left(second, [])
    works = [{greeting["work"] for greeting in result["greetings"]} for result in results]
    assert works[0].isdisjoint(works[1])
