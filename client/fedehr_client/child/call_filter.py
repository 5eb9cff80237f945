"""`CallFilter`: system calls that a process which computes has no use for, refused by the kernel.

A small program of the classic Berkeley packet filter (`man 2 seccomp`), which the kernel runs at
each system call; it cannot be taken off again and holds for all threads and programs started
later. It refuses

- sockets of every family but local ones, and of those the ones that need no connection;
- every connection: a name service or a system log behind a local socket has the network;
- io_uring, which opens sockets without these calls;
- a way back into another namespace, and into other processes, whose sockets could be taken.
"""

import ctypes
import errno
import struct
from dataclasses import dataclass

from fedehr_client.child.kernel import (
    PR_SET_NO_NEW_PRIVS,
    PR_SET_SECCOMP,
    machine,
    prctl,
)

_MODE_FILTER = 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
"""Offsets into `struct seccomp_data`; on both machines an argument's lower half comes first."""
_AF_UNIX = 1
_TYPE_BITS, _SOCK_DGRAM = 0xF, 2
_X32 = 0x40000000
"""Numbers from here on are of x86-64's other interface, with calls of its own."""


@dataclass(frozen=True)
class _Machine:
    """The kernel's numbers on one kind of processor.

    Sources: linux/audit.h, and the tables of system calls of each architecture.
    """

    architecture: int
    socket: int
    socketpair: int
    connect: int
    refused: tuple[int, ...]
    """ptrace, process_vm_readv, process_vm_writev, setns, io_uring_setup, pidfd_getfd."""


_MACHINES = {
    "x86_64": _Machine(0xC000003E, 41, 53, 42, (101, 310, 311, 308, 425, 438)),
    "aarch64": _Machine(0xC00000B7, 198, 199, 203, (117, 270, 271, 268, 425, 438)),
}


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def filter_calls() -> None:
    """Install the filter in this process, for good.

    Raises:
        OSError: the system does not allow it, or the processor's numbers are not known.
    """
    known = _MACHINES.get(machine())
    if known is None:
        raise OSError(errno.ENOSYS, f"system calls of {machine()} are not known")
    content = b"".join(_instructions(known))
    buffer = ctypes.create_string_buffer(content, len(content))
    program = _Program(len(content) // 8, ctypes.addressof(buffer))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_SECCOMP, _MODE_FILTER, program)


def _instructions(known: _Machine) -> list[bytes]:
    """The program; each test skips to its own answer, so that no jump is long."""
    return [
        _load(_ARCHITECTURE),
        _jump(_EQUAL, known.architecture, 1, 0),
        _refuse(errno.EPERM),
        _load(_NUMBER),
        _jump(_AT_LEAST, _X32, 0, 1),
        _refuse(errno.EPERM),
        *[part for number in known.refused for part in _refused(number, errno.EPERM)],
        # As where nobody listens, which every library knows how to go on from.
        *_refused(known.connect, errno.ECONNREFUSED),
        _jump(_EQUAL, known.socket, 2, 0),
        _jump(_EQUAL, known.socketpair, 1, 0),
        _answer(_ALLOW),
        _load(_FIRST_ARGUMENT),
        _jump(_EQUAL, _AF_UNIX, 1, 0),
        _refuse(errno.EAFNOSUPPORT),
        _load(_SECOND_ARGUMENT),
        struct.pack("=HBBI", _AND, 0, 0, _TYPE_BITS),
        _jump(_EQUAL, _SOCK_DGRAM, 0, 1),
        _refuse(errno.EPERM),
        _answer(_ALLOW),
    ]


def _refused(number: int, error: int) -> list[bytes]:
    return [_jump(_EQUAL, number, 0, 1), _refuse(error)]


def _load(offset: int) -> bytes:
    return struct.pack("=HBBI", _LOAD, 0, 0, offset)


def _jump(kind: int, value: int, if_true: int, if_false: int) -> bytes:
    """Skip so many instructions."""
    return struct.pack("=HBBI", kind, if_true, if_false, value)


def _refuse(error: int) -> bytes:
    return _answer(_ERRNO | error)


def _answer(value: int) -> bytes:
    return struct.pack("=HBBI", _RETURN, 0, 0, value)
