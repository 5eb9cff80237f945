"""A real node joins a real coordinator by way of a web proxy, which alone knows the name."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = Path(sys.executable).parent
NAME = "fedehr.test"
SECONDS = 120.0

pytestmark = [pytest.mark.e2e, pytest.mark.long]


def _run(program: str, *words: object, **environ: str) -> tuple[int, str]:
    # A file, not a pipe: the processes that a command leaves running would hold a pipe open.
    with tempfile.TemporaryFile("w+") as told:
        done = subprocess.run(
            [str(PROGRAMS / program), *map(str, words)],
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL, stdout=told, stderr=told, timeout=SECONDS, check=False,
        )  # fmt: skip
        told.seek(0)
        return done.returncode, told.read()


def _must(program: str, *words: object, **environ: str) -> str:
    code, told = _run(program, *words, **environ)
    assert code == 0, told
    return told


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """The folder of a coordinator that serves, and its proxy's port."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed (apt-get install nginx-light)")
    folder = tmp_path_factory.mktemp("joining") / "coordinator"
    port = _free_port()
    ports = ("--port", _free_port(), "--proxy-port", port)
    _must("fedehr-server", "init", folder, "--host", NAME, *ports)
    _must("fedehr-server", "start", folder, "--detach")
    nginx = subprocess.Popen(["nginx", "-p", str(folder), "-c", "nginx.conf"])
    try:
        yield folder, port
    finally:
        nginx.terminate()
        nginx.wait(10)
        _run("fedehr-server", "stop", folder)


@pytest.mark.parametrize("opens_tls", [False, True], ids=["closed", "opened"])
def test_a_node_joins_by_way_of_a_web_proxy(
    *,
    opens_tls: bool,
    federation: tuple[Path, int],
    authority: Any,
    connect_proxy: Any,
    hospitals: Any,
    opened: Any,
    tmp_path: Path,
) -> None:
    coordinator, port = federation
    ca = shutil.copy(coordinator / "pki" / "ca.crt", tmp_path / "ca.crt")
    own = authority.Authority("Hospital Web Proxy") if opens_tls else None
    proxy = opened(connect_proxy.ConnectProxy({f"{NAME}:{port}": port}, own, ca))
    proxy.user = "nurse:hunter2"
    environ = {"HTTPS_PROXY": proxy.url.replace("//", "//nurse:hunter2@")}
    site = "opened" if opens_tls else "closed"
    node = tmp_path / "node"
    _must(
        "fedehr-client", "init", node, "--name", site, "--coordinator", f"{NAME}:{port}",
        "--records", hospitals.sites[0].path, "--ca", ca,
    )  # fmt: skip
    if own is not None:
        own.write(node / "proxy-ca.crt")
        text = (node / "site.toml").read_text()
        trusted = text.replace('root_certificates = "ca.crt"', 'root_certificates = "proxy-ca.crt"')
        (node / "site.toml").write_text(trusted)
    _must("fedehr-server", "site", "add", coordinator, site, node / "node.key.pub")
    code, told = _run("fedehr-client", "doctor", node, **environ)
    assert code == 0, told
    try:
        assert "joined" in _must("fedehr-client", "start", node, "--detach", **environ)
        assert _state(coordinator, site) == "online"
        asked = len(proxy.asked)
        running = json.loads(_must("fedehr-client", "doctor", node, "--json", **environ))
        found = {each["name"]: each for each in running["checks"]}
        assert found["processes"]["figures"]["running"] is True
        assert running["ready"], running
    finally:
        _run("fedehr-client", "stop", node)
    assert asked >= 3
    assert proxy.num_bytes > 3_000
    assert (b"POST /v1/fleet/" in proxy.opened) == opens_tls
    logs = "".join(file.read_text() for file in (node / "logs").iterdir())
    assert "hunter2" not in logs


def _state(coordinator: Path, site: str) -> str:
    deadline = time.monotonic() + 30
    while True:
        status = json.loads(_must("fedehr-server", "status", coordinator, "--json"))
        state = {each["name"]: each["state"] for each in status["sites"]}[site]
        if state == "online" or time.monotonic() > deadline:
            return str(state)
        time.sleep(1)
