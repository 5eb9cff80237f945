"""Process trees, listeners and the private network, with real processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fedehr_simulations.engine.listeners import exposed_addresses, listens_on
from fedehr_simulations.engine.process_tree import ProcessTree
from fedehr_simulations.engine.superlink import free_port

LISTENER = """
import socket, sys, time
held = socket.create_server((sys.argv[1], int(sys.argv[2])),
                            family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print("ready", flush=True)
time.sleep(60)
"""

# A leader in a session of its own, whose child takes a further one and ignores SIGTERM, and
# whose parent then ends: what is left hangs below no process that knows of it.
STUBBORN = """
import os, signal, sys, time
from fedehr_simulations.engine.process_tree import ProcessTree, adopt_orphans
adopt_orphans()
ready, done = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(done, str(os.getpid()).encode())
        time.sleep(60)
        os._exit(0)
    os._exit(0)
stubborn = int(os.read(ready, 20))
tree = ProcessTree(os.getpid())
started = time.monotonic()
tree.stop(grace_seconds=0.5)
print(stubborn, time.monotonic() - started, len(tree.refresh()))
"""

PRIVATE = """
import codecs, ctypes, os, socket, sys
for codec in ("ascii", "idna"):
    codecs.lookup(codec)  # Python may lie where only its owner reads
from fedehr_simulations.engine.private_network import enter_private_network
if sys.argv[1] == "ordinary" and os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as after an exec: /proc/self is one's own again
if sys.argv[1] == "refused":
    import struct
    # seccomp: unshare (272 on x86-64) answers EPERM, as in Docker's default profile.
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, 272), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
    libc = ctypes.CDLL(None)
    libc.prctl(38, 1, 0, 0, 0)
    wanted = Filter(len(code), ctypes.addressof(program))
    assert libc.prctl(22, 2, ctypes.byref(wanted), 0, 0) == 0
before = os.readlink("/proc/self/ns/net"), os.readlink("/proc/self/ns/user")
entered = enter_private_network()
after = os.readlink("/proc/self/ns/net"), os.readlink("/proc/self/ns/user")
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
try:
    socket.create_connection(("192.0.2.1", 9), timeout=0.2)
except OSError as error:
    outside = error.errno
devices = [line.split(":")[0].strip() for line in open("/proc/self/net/dev")][2:]
print(entered, before[0] != after[0], ",".join(devices), os.geteuid(), outside)
"""


def start_listener(address: str, port: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENER, address, str(port)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def run_python(code: str, *arguments: str) -> list[str]:
    answer = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.split()


@pytest.mark.parametrize(
    ("address", "shown"),
    [("127.0.0.1", []), ("::1", []), ("0.0.0.0", ["0.0.0.0"]), ("::", ["::"])],
)
def test_only_addresses_beyond_loopback_count_as_exposed(address: str, shown: list[str]) -> None:
    port = free_port()
    process = start_listener(address, port)
    try:
        found = exposed_addresses([psutil.Process(process.pid)])
        assert found == [f"{ip}:{port}" for ip in shown]
        assert listens_on(psutil.Process(process.pid), port)
        assert not listens_on(psutil.Process(process.pid), port + 1)
    finally:
        end(process)


def test_another_programs_port_does_not_count_as_the_superlinks() -> None:
    port = free_port()
    process = start_listener("127.0.0.1", port)
    try:
        assert not listens_on(psutil.Process(os.getpid()), port)
        assert free_port() != port
    finally:
        end(process)


def test_a_process_that_is_gone_listens_on_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    watched = psutil.Process(process.pid)
    process.kill()
    process.wait()
    assert exposed_addresses([watched]) == []


def test_an_orphan_in_its_own_session_that_ignores_sigterm_is_ended() -> None:
    stubborn, seconds, left = run_python(STUBBORN)
    assert left == "0"
    assert 0.5 <= float(seconds) < 10.0
    deadline = time.monotonic() + 5
    while Path(f"/proc/{stubborn}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{stubborn}").exists()


def test_stopping_a_tree_spares_what_is_not_below_it() -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    root = subprocess.Popen(
        [sys.executable, "-c",
         "import subprocess, sys, time; subprocess.Popen(['sleep', '60'], start_new_session=True);"
         "print('up', flush=True); time.sleep(60)"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert root.stdout is not None
        assert root.stdout.readline() == "up\n"
        tree = ProcessTree(root.pid)
        children = tree.refresh()
        assert len(children) == 1
        tree.stop(grace_seconds=5.0)
        assert tree.refresh() == []
        assert bystander.poll() is None
        assert root.poll() is None
    finally:
        end(root)
        bystander.kill()
        bystander.wait()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="namespaces are Linux's")
@pytest.mark.parametrize("who", ["as-is", "ordinary"])
def test_a_private_network_holds_loopback_alone(who: str) -> None:
    entered, moved, devices, user, outside = run_python(PRIVATE, who)
    if entered == "False":
        assert moved == "False"
        pytest.skip("this system allows no network namespace")
    assert moved == "True"
    assert devices == "lo"
    assert outside == "101"  # ENETUNREACH: there is no way out
    assert user == ("65534" if who == "ordinary" and os.geteuid() == 0 else str(os.geteuid()))


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the filter names an x86-64 call")
def test_a_system_that_refuses_namespaces_leaves_the_process_as_it_was() -> None:
    entered, moved, devices, user, _ = run_python(PRIVATE, "refused")
    assert (entered, moved, user) == ("False", "False", str(os.geteuid()))
    assert "lo" in devices.split(",")
