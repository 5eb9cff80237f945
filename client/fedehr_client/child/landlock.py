"""`Landlock`: what the kernel lets a process say about the files that it will never write.

Rights over files that a process gives up with it (`man 7 landlock`) are given up by all threads
and programs that it starts later, and no rank brings them back: root is refused as others are.
Whoever has done so can also neither trace a process that has not, nor touch its memory.

The numbers of the calls are the same on every processor. What the kernel can refuse grew from
version to version; it is asked for its version first.
"""

import ctypes
import errno
import os
import stat
import struct
from pathlib import Path

from fedehr_client.child.kernel import PR_SET_NO_NEW_PRIVS, prctl, system_call

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_ASK_VERSION = 1
_BENEATH = 1
_LEAST_VERSION = 2
"""Linux 5.19. The first version lets no file move between two folders, which compilers need."""
_EMPTYING_VERSION, _SIGNALS_VERSION = 3, 6

_WRITE_FILE = 1 << 1
_REMOVE, _MAKE = 1 << 4 | 1 << 5, 1 << 7 | 1 << 8
"""Of folders and plain files."""
_MAKE_OTHERS = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12
"""Devices, sockets, pipes with a name, and symbolic links, which others might follow."""
_MOVE, _EMPTY = 1 << 13, 1 << 14
_IN_FOLDERS = _REMOVE | _MAKE | _MOVE
_SCOPES = 3
"""No signal to a process that gave up nothing, and no connection to it by a name without a file."""


class Landlock:
    """Rights over all files, given up but for what is named."""

    def __init__(self) -> None:
        """Nothing is given up yet.

        Raises:
            OSError: the kernel has none, or one that is too old.
        """
        self.version = system_call(_CREATE, None, 0, _ASK_VERSION)
        if self.version < _LEAST_VERSION:
            raise OSError(
                errno.ENOSYS, f"version {self.version} of it is too old: Linux 5.19 is needed"
            )
        self._empty = _EMPTY if self.can_refuse_emptying else 0
        rights = _WRITE_FILE | self._empty | _IN_FOLDERS | _MAKE_OTHERS
        scopes = _SCOPES if self.version >= _SIGNALS_VERSION else 0
        # The kernel takes a longer structure than it knows where the rest is zero.
        attributes = struct.pack("=QQQ", rights, 0, scopes)
        self._rules = system_call(_CREATE, attributes, len(attributes), 0)

    @property
    def can_refuse_emptying(self) -> bool:
        """Whether a file can be kept from being cut short (Linux 6.2)."""
        return self.version >= _EMPTYING_VERSION

    def keep(self, path: Path) -> None:
        """Keep the right to write a file or a device, or to write, make, move and remove plain
        files and folders below a folder.

        Raises:
            OSError: there is none.
        """
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            is_folder = stat.S_ISDIR(os.fstat(place).st_mode)
            rights = _WRITE_FILE | self._empty | (_IN_FOLDERS if is_folder else 0)
            rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, place))
            system_call(_ADD_RULE, self._rules, _BENEATH, rule, 0)
        finally:
            os.close(place)

    def restrict(self) -> None:
        """Give up the rest, for good.

        Raises:
            OSError: the system does not allow it.
        """
        try:
            # The kernel asks this of ordinary users.
            prctl(PR_SET_NO_NEW_PRIVS, 1)
            system_call(_RESTRICT, self._rules, 0)
        finally:
            os.close(self._rules)
