"""Giving up the network, with real sockets, as root and as an ordinary user."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.child.isolation import (
    CALL_FILTER,
    NETWORK_NAMESPACE,
    USER_NAMESPACE,
    isolate,
)

HERE = Path(__file__).parent
IS_ROOT = os.getuid() == 0
NOBODY = 65_534
ORDINARY = NOBODY if IS_ROOT else os.getuid()
needs_root = pytest.mark.skipif(not IS_ROOT, reason="needs root")


@dataclass(frozen=True)
class Outside:
    """Who would answer."""

    tcp: int
    udp: int
    unix: str


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    """Listeners of this process, which greet whoever reaches them."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        path = f"{folder}/socket"
        tcp, unix = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        unix.bind(path)
        unix.listen(16)
        datagrams.bind(f"{path}.datagrams")
        for file in (path, f"{path}.datagrams"):
            os.chmod(file, 0o777)
        stop = threading.Event()
        threads = [
            threading.Thread(target=serve, args=(listener, stop), daemon=True)
            for serve, listener in ((_greet, tcp), (_greet, unix), (_echo, udp))
        ]
        for listener in (tcp, unix, udp):
            listener.settimeout(0.1)
        for thread in threads:
            thread.start()
        yield Outside(tcp.getsockname()[1], udp.getsockname()[1], path)
        stop.set()
        for thread in threads:
            thread.join()
        for listener in (tcp, unix, udp, datagrams):
            listener.close()


def _greet(listener: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            line, _ = listener.accept()
        except TimeoutError:
            continue
        with line:
            line.sendall(b"hello")


def _echo(listener: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            listener.sendto(*listener.recvfrom(5))
        except TimeoutError:
            continue


def _reach_out(outside: Outside, is_isolated: str, user: int, *refused: str) -> dict[str, Any]:
    script = [sys.executable, str(HERE / "reaching_out.py"), is_isolated, str(user)]
    script += [str(outside.tcp), str(outside.udp), outside.unix]
    if refused:
        script = [sys.executable, str(HERE / "refusing.py"), *refused, "--", *script]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


ROOT = pytest.param(0, NETWORK_NAMESPACE, id="root", marks=needs_root)
USER = pytest.param(ORDINARY, USER_NAMESPACE, id="user")
WAYS_OUT = ("tcp", "udp", "other_thread", "other_program")


@pytest.mark.parametrize(("user", "namespace"), [ROOT, USER])
def test_whoever_does_not_give_it_up_has_the_network(
    outside: Outside, user: int, namespace: str
) -> None:
    """Else the tests below would show nothing."""
    told = _reach_out(outside, "no", user)
    greeted = (*WAYS_OUT, "unix", "unix_datagram", "netlink")
    assert {told[way] for way in greeted} == {"hello"}
    assert (told["setns"], told["ptrace"]) == ("EBADF", "ESRCH")
    assert namespace


@pytest.mark.parametrize(("user", "namespace"), [ROOT, USER])
@pytest.mark.parametrize("refused", [(), ("unshare",), ("filters",)], ids=str)
def test_nothing_gets_out_by_a_namespace_or_a_filter_or_both(
    outside: Outside, user: int, namespace: str, refused: tuple[str, ...]
) -> None:
    told = _reach_out(outside, "yes", user, *refused)
    has_namespace, has_filter = "unshare" not in refused, "filters" not in refused
    if has_namespace and namespace not in told["protections"]:
        pytest.skip(f"this system allows no namespace here: {told['faults']}")
    expected = [
        name for name, has in ((namespace, has_namespace), (CALL_FILTER, has_filter)) if has
    ]
    assert told["protections"] == expected
    assert all(told[way].startswith("refused") for way in (*WAYS_OUT, "name_service")), told
    assert told["interfaces"] != "hello"
    if has_filter:
        for way in ("unix", "unix_datagram", "netlink"):
            assert told[way].startswith("refused"), way
        for call in ("io_uring", "pidfd_getfd", "setns", "ptrace", "x32 socket"):
            assert told.get(call, "EPERM") == "EPERM", call


@pytest.mark.parametrize(("user", "namespace"), [ROOT, USER])
def test_where_nothing_is_possible_it_says_so(outside: Outside, user: int, namespace: str) -> None:
    told = _reach_out(outside, "yes", user, "unshare", "filters")
    assert told["protections"] == []
    assert {NETWORK_NAMESPACE, USER_NAMESPACE, CALL_FILTER} == {
        fault.partition(":")[0] for fault in told["faults"]
    }
    assert told["tcp"] == "hello"
    assert namespace


def test_a_process_with_threads_is_told_that_it_cannot() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        found = isolate()
    finally:
        stop.set()
        thread.join()
    assert found.protections == ()
    assert "threads" in found.describe()
