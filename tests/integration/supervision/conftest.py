"""A real SuperLink without a proxy, and nodes that join it by our own commands."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedehr_shared.processes import ProcessFamily

PROGRAMS = Path(sys.executable).parent
COMMAND_SECONDS = 150.0
PROCESSES = ("supernode", "worker")


class Site:
    """One node's folder, and what can be done with it."""

    def __init__(self, folder: Path, environ: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.environ = {**os.environ, **(environ or {})}

    def run(self, command: str, *words: object) -> subprocess.CompletedProcess[str]:
        return run("fedehr-client", command, self.folder, *words, environ=self.environ)

    def must(self, command: str, *words: object) -> str:
        done = self.run(command, *words)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def status(self) -> dict[str, Any]:
        return json.loads(self.must("status", "--json"))

    def told(self) -> dict[str, Any]:
        """The state file, without starting a program."""
        return json.loads((self.folder / "state" / "node.json").read_text())

    def members(self) -> list[psutil.Process]:
        found = []
        for name in PROCESSES:
            for pid in ProcessFamily(self.folder / "state" / f"{name}.json").members():
                found.append(psutil.Process(pid))
        return found

    def pid(self, name: str) -> int:
        return next(each["pid"] for each in self.told()["processes"] if each["name"] == name)

    def replace(self, old: str, new: str) -> None:
        """In the site file."""
        file = self.folder / "site.toml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def read(self, name: str) -> str:
        return (self.folder / "logs" / f"{name}.log").read_text()


class Coordinator:
    """A SuperLink, and the sites that were made for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "coordinator"
        self.port = free_port()
        self.records = folder / "records"
        for part in ("data", "metadata", "labels"):
            (self.records / part).mkdir(parents=True)
        self.sites: list[Site] = []
        ports = ("--port", self.port, "--proxy-port", free_port())
        self.must("init", "--host", "localhost", *ports)
        self.start()

    def must(self, command: str, *words: object) -> str:
        done = run("fedehr-server", *command.split(), self.folder, *words)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self) -> None:
        self.must("start", "--detach")

    def stop(self) -> None:
        self.must("stop")

    def make_site(self, name: str, ca: Path | None = None, **environ: str) -> Site:
        site = Site(self.folder.parent / name, environ)
        self.sites.append(site)
        site.must(
            "init", "--name", name, "--records", self.records,
            "--coordinator", f"localhost:{self.port}",
            "--ca", ca or self.folder / "pki" / "ca.crt",
        )  # fmt: skip
        return site

    def program(self, name: str) -> str:
        return str(PROGRAMS / name)

    def add(self, site: Site) -> None:
        self.must("site add", site.folder.name, site.folder / "node.key.pub")

    def close(self) -> None:
        for site in self.sites:
            if (site.folder / "site.toml").exists():
                site.run("stop")
        run("fedehr-server", "stop", self.folder)


def run(
    program: str, *words: object, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    # Files, not pipes: a pipe stays open while any child of the command lives.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        command = [str(PROGRAMS / program), *map(str, words)]
        done = subprocess.run(
            command, env=environ, stdout=out, stderr=err, timeout=COMMAND_SECONDS, check=False
        )
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, out.read(), err.read())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(done: Callable[[], bool], seconds: float) -> float:
    """Seconds until `done`."""
    begin = time.monotonic()
    while not done():
        assert time.monotonic() - begin < seconds, f"not within {seconds} seconds"
        time.sleep(0.1)
    return time.monotonic() - begin


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; one that only waits for its parent's notice (a zombie) does not."""
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    made = Coordinator(tmp_path_factory.mktemp("supervision"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session", name="wait_for")
def wait_for_fixture() -> Callable[[Callable[[], bool], float], float]:
    return wait_for


@pytest.fixture(scope="session", name="alive")
def alive_fixture() -> Callable[[list[psutil.Process]], list[psutil.Process]]:
    return alive


@pytest.fixture(scope="session", name="run")
def run_fixture() -> Callable[..., subprocess.CompletedProcess[str]]:
    return run
