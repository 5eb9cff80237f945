"""`Network`: a real one on loopback, of our own commands: SuperLink, nginx and nodes.

Loaded by tests/e2e/conftest.py and by tests/benchmarks.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAMS = Path(sys.executable).parent
COMMAND_SECONDS = 200.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Network:
    """One coordinator with its proxy, and any number of sites, under one folder."""

    def __init__(self, folder: Path, environ: dict[str, str], host: str = "localhost") -> None:
        self.folder = folder
        self.host = host
        self.environ = {**os.environ, **environ}
        self.coordinator = folder / "coordinator"
        self.port, self.proxy_port = free_port(), free_port()
        self.nodes: dict[str, Path] = {}
        self.proxy: subprocess.Popen[bytes] | None = None

    def run(
        self,
        program: str,
        *words: object,
        environ: dict[str, str] | None = None,
        timeout: float = COMMAND_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        # Files, not pipes: a pipe stays open while any child of the command lives, and the
        # engine's children live as long as their parent has not been waited for.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            beside = PROGRAMS / program
            command = [str(beside) if beside.exists() else program, *map(str, words)]
            done = subprocess.run(
                command,
                env=environ or self.environ,
                stdout=out,
                stderr=err,
                timeout=timeout,
                check=False,
            )
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, out.read(), err.read())

    def must(self, program: str, *words: object, timeout: float = COMMAND_SECONDS) -> str:
        done = self.run(program, *words, timeout=timeout)
        assert done.returncode == 0, f"{program} {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def status(self) -> dict[str, Any]:
        return json.loads(self.must("fedehr-server", "status", self.coordinator, "--json"))

    def open(self) -> None:
        ports = ("--port", self.port, "--proxy-port", self.proxy_port)
        self.must("fedehr-server", "init", self.coordinator, "--host", self.host, *ports)
        self.must("fedehr-server", "start", self.coordinator, "--detach")
        self.start_proxy()

    def start_proxy(self) -> None:
        with (self.coordinator / "logs" / "nginx.out").open("wb") as log:
            self.proxy = subprocess.Popen(
                ["nginx", "-p", str(self.coordinator), "-c", "nginx.conf"], stderr=log, stdout=log
            )
        wait_for(lambda: accepts(self.proxy_port), 10)

    def init_node(self, name: str, records: Path, ca: Path | None = None) -> Path:
        node = self.folder / f"node-{name}"
        self.must(
            "fedehr-client", "init", node, "--name", name, "--records", records,
            "--coordinator", f"{self.host}:{self.proxy_port}",
            "--ca", ca or self.coordinator / "pki" / "ca.crt",
        )  # fmt: skip
        self.nodes[name] = node
        return node

    def register(self, name: str, records: Path, **settings: dict[str, Any]) -> Path:
        """A node that the coordinator knows, not started yet.

        `settings`: sections of the site file, with what they change.
        """
        node = self.init_node(name, records)
        for section, values in settings.items():
            configure(node, section, **values)
        key = node / "node.key.pub"
        self.must("fedehr-server", "site", "add", self.coordinator, name, key)
        return node

    def join(
        self,
        name: str,
        records: Path,
        *,
        around: Callable[..., list[str]] | None = None,
        **settings: dict[str, Any],
    ) -> Path:
        """A node that runs; `around` makes the command line that starts it."""
        node = self.register(name, records, **settings)
        self.start(name, around)
        return node

    def start(self, name: str, around: Callable[..., list[str]] | None = None) -> None:
        words = ["fedehr-client", "start", str(self.nodes[name]), "--detach"]
        if around is None:
            self.must(*words)
            return
        program, *arguments = around(PROGRAMS / words[0], *words[1:])
        self.must(program, *arguments)

    def approve(self, study: Path, *names: str) -> Path:
        """Sign the contract of a study and approve it at these sites, or at all; its file."""
        file = self.folder / f"contract-{time.monotonic_ns()}.json"
        self.must("fedehr-server", "contract", self.coordinator, study, "--out", file)
        for name in names or self.nodes:
            self.must("fedehr-client", "approve", self.nodes[name], file, "--yes")
        return file

    def close(self) -> None:
        for node in self.nodes.values():
            self.run("fedehr-client", "stop", node)
        if (self.coordinator / "coordinator.toml").exists():
            self.run("fedehr-server", "stop", self.coordinator)
        if self.proxy is not None:
            self.proxy.terminate()
            self.proxy.wait(10)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.1)


def configure(node: Path, section: str, **values: Any) -> None:
    """Change settings in a node's `site.toml`."""
    file = node / "site.toml"
    head, divider, rest = file.read_text().partition(f"[{section}]\n")
    assert divider, section
    body, bracket, others = rest.partition("\n[")
    for key in values:
        body = re.sub(rf"(?m)^{key} = .*\n?", "", body)
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    file.write_text(head + divider + lines + body + bracket + others)
