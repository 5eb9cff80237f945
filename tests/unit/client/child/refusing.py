"""Run a program in which the kernel refuses `unshare`, or filters of system calls, or knows no
Landlock.

    python refusing.py [unshare] [filters] [landlock] -- program argument ...

So it is where a hospital's container has none of them.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

UNSHARE = {"x86_64": 272, "aarch64": 97}
PRCTL = {"x86_64": 157, "aarch64": 167}
LANDLOCK = 444
SECCOMP = {"x86_64": 317, "aarch64": 277}


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def main() -> None:
    place = sys.argv.index("--")
    names, program = sys.argv[1:place], sys.argv[place + 1 :]
    kind = platform.machine()
    no, yes = step(0x06, 0x00050000 | errno.EPERM), step(0x06, 0x7FFF0000)
    code = [step(0x20, 0)]
    if "unshare" in names:
        code += [step(0x15, UNSHARE[kind], 0, 1), no]
    if "landlock" in names:
        code += [step(0x15, LANDLOCK, 0, 1), step(0x06, 0x00050000 | errno.ENOSYS)]
    if "filters" in names:
        code += [step(0x15, SECCOMP[kind], 0, 1), no]
        code += [step(0x15, PRCTL[kind], 0, 3), step(0x20, 16), step(0x15, 22, 0, 1), no]
    code.append(yes)
    content = b"".join(code)
    buffer = ctypes.create_string_buffer(content, len(content))
    filters = Program(len(code), ctypes.addressof(buffer))
    system = ctypes.CDLL(None, use_errno=True)
    assert system.prctl(38, ctypes.c_ulong(1), 0, 0, 0) == 0
    assert system.prctl(22, ctypes.c_ulong(2), ctypes.byref(filters), 0, 0) == 0
    os.execv(program[0], program)


main()
