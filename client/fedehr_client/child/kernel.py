"""Calls of the Linux kernel that Python 3.11 has no function for."""

import ctypes
import os
import platform

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

_SYSTEM = ctypes.CDLL(None, use_errno=True)
_SYSTEM_CALL = _SYSTEM.syscall
_SYSTEM_CALL.restype = ctypes.c_long


def prctl(option: int, value: int, more: "ctypes.Structure | None" = None) -> None:
    """Set something of this process (`man 2 prctl`).

    Raises:
        OSError: the system does not allow it.
    """
    pointer = None if more is None else ctypes.byref(more)
    zero = ctypes.c_ulong(0)
    if _SYSTEM.prctl(option, ctypes.c_ulong(value), pointer, zero, zero) != 0:
        raise _last_error()


def unshare(flags: int) -> None:
    """Leave namespaces that this process shares with others (`man 2 unshare`).

    Raises:
        OSError: the system does not allow it, or this process has threads.
    """
    if _SYSTEM.unshare(flags) != 0:
        raise _last_error()


def system_call(number: int, *arguments: "bytes | ctypes.Array[ctypes.c_char] | int | None") -> int:
    """A call that the system's library has no function for.

    Raises:
        OSError: the kernel refuses it, or does not know it.
    """
    wide = [ctypes.c_long(part) if isinstance(part, int) else part for part in arguments]
    result = int(_SYSTEM_CALL(ctypes.c_long(number), *wide))
    if result < 0:
        raise _last_error()
    return result


def num_threads() -> int:
    """Threads of this process."""
    return len(os.listdir("/proc/self/task"))


def machine() -> str:
    """The processor's kind, `x86_64` or `aarch64` for example."""
    return platform.machine()


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
