"""Try every way out of this process, after giving up the network or not, and print what came.

python reaching_out.py yes|no USER TCP_PORT UDP_PORT UNIX_PATH
"""

import ctypes
import errno
import json
import os
import platform
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from encodings import ascii, idna  # noqa: F401 - they may lie where the user cannot read

from fedehr_client.child import kernel
from fedehr_client.child.isolation import isolate

IO_URING_SETUP, PIDFD_GETFD = 425, 438
SETNS = {"x86_64": 308, "aarch64": 268}
PTRACE = {"x86_64": 101, "aarch64": 117}


def tcp() -> str:
    with socket.create_connection(("127.0.0.1", int(sys.argv[3])), timeout=5) as line:
        return line.recv(5).decode()


def udp() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(5)
        line.sendto(b"hello", ("127.0.0.1", int(sys.argv[4])))
        return line.recv(5).decode()


def unix() -> str:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(sys.argv[5])
        return line.recv(5).decode()


def unix_datagram() -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.sendto(b"hello", sys.argv[5] + ".datagrams")
    return "hello"


def interfaces() -> str:
    names = [name for _, name in socket.if_nameindex()]
    return "lo" if names == ["lo"] else "hello"


def netlink() -> str:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()
    return "hello"


def name_service() -> str:
    """Not asked outside, where it may be slow to say no."""
    if sys.argv[1] == "no":
        return ""
    return socket.getaddrinfo("localhost.localdomain.invalid", 80)[0][4][0]


def other_thread() -> str:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(attempt(tcp)))
    thread.start()
    thread.join()
    return found[0]


def other_program() -> str:
    line = f"exec 3<>/dev/tcp/127.0.0.1/{sys.argv[3]}"
    done = subprocess.run(["/bin/bash", "-c", line], capture_output=True, check=False)
    return "hello" if done.returncode == 0 else "refused"


def call(number: int, *arguments: int) -> str:
    """The errno of a system call that nobody here may make."""
    system = ctypes.CDLL(None, use_errno=True)
    system.syscall(number, *arguments)
    return errno.errorcode.get(ctypes.get_errno(), "0")


def attempt(way: Callable[[], str]) -> str:
    try:
        return way()
    except OSError as error:
        return f"refused {error.errno}"


def become(user: int) -> None:
    """An ordinary user, as if it had started this program."""
    if user != os.getuid():
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)


def main() -> None:
    told: dict[str, object] = {"protections": [], "faults": []}
    become(int(sys.argv[2]))
    if sys.argv[1] == "yes":
        found = isolate()
        told = {"protections": found.protections, "faults": found.faults}
    ways = (tcp, udp, unix, unix_datagram, interfaces, netlink, name_service, other_thread)
    told |= {way.__name__: attempt(way) for way in (*ways, other_program)}
    kind = platform.machine()
    told["io_uring"] = call(IO_URING_SETUP, 1, 0)
    told["pidfd_getfd"] = call(PIDFD_GETFD, -1, 0, 0)
    told["setns"] = call(SETNS[kind], -1, 0)
    told["ptrace"] = call(PTRACE[kind], 16, 2**30, 0, 0)
    if kind == "x86_64":
        told["x32 socket"] = call(0x40000000 + 41, socket.AF_INET, socket.SOCK_STREAM, 0)
    print(json.dumps(told))


main()
