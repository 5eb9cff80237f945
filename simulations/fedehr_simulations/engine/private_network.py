"""A network of the engine's own: a Linux network namespace that holds `lo` and nothing else.

Inside it nothing is reachable from other machines or other users of this one, and no
process of the simulation can send anything out. Root, or a container with CAP_SYS_ADMIN,
gets one directly; an ordinary user through a user namespace that maps them to themselves.
Docker's default profile and Ubuntu 24.04 without an AppArmor profile refuse both; then the
engine stays on the machine's own loopback.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_IFREQ = struct.Struct("16sh22x")


def enter_private_network() -> bool:
    """Move this process, and all it starts, into a network of its own where that is allowed.

    Must run before any thread starts. False leaves the process as it was.
    """
    if not sys.platform.startswith("linux"):
        return False
    for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET):
        # A half-finished attempt cannot be undone (Ubuntu grants the namespace and then no
        # right to raise `lo`), so a child tries first.
        if _works_in_child(flags):
            _enter(flags)
            return True
    return False


def _works_in_child(flags: int) -> bool:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _enter(flags)
            status = 0
        finally:
            # Whatever happens, the child never goes on as a second keeper.
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def _enter(flags: int) -> None:
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    if flags & _CLONE_NEWUSER:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    _raise_loopback()


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, _IFREQ.pack(b"lo", 0))
        flags = _IFREQ.unpack(answer)[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, _IFREQ.pack(b"lo", flags | _IFF_UP))


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
