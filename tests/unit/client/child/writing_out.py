"""Try to write everywhere, after giving that up or not, and print what came of it.

    python writing_out.py yes|no USER WORK OUTSIDE VICTIM

VICTIM is the process id of one that has given up nothing.
"""

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from fedehr_client.child import kernel
from fedehr_client.child.confinement import confine

WORK, OUTSIDE = Path(sys.argv[3]), Path(sys.argv[4])
VICTIM = int(sys.argv[5])
CONTRACT = OUTSIDE / "contract.json"


def write(file):
    file.write_text("approved")


def other_program():
    done = subprocess.run(
        ["/bin/sh", "-c", f"echo approved > {OUTSIDE}/b"], check=False, capture_output=True
    )
    if done.returncode:
        raise PermissionError(errno.EACCES, "refused")


def other_thread():
    found = []
    thread = threading.Thread(
        target=lambda: found.append(attempt(lambda: write(OUTSIDE / "thread")))
    )
    thread.start()
    thread.join()
    if found != ["done"]:
        raise PermissionError(errno.EACCES, "refused")


def link_out():
    """A file of the node under a name that may be written, to be written there."""
    os.link(CONTRACT, WORK / "linked")
    write(WORK / "linked")


def move_in():
    os.rename(CONTRACT, WORK / "moved")


def move_out():
    write(WORK / "made")
    os.rename(WORK / "made", OUTSIDE / "made")


def within():
    """All that a cache does."""
    (WORK / "a" / "b").mkdir(parents=True)
    write(WORK / "a" / "b" / "file")
    os.rename(WORK / "a" / "b" / "file", WORK / "file")
    os.link(WORK / "file", WORK / "a" / "again")
    os.truncate(WORK / "file", 3)
    os.remove(WORK / "a" / "again")
    os.rmdir(WORK / "a" / "b")


def device():
    with open("/dev/null", "wb") as nothing:
        nothing.write(b"1")


def mount():
    system = ctypes.CDLL(None, use_errno=True)
    if system.mount(b"none", str(WORK).encode(), b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), "refused")
    system.umount(str(WORK).encode())


OTHERS = {
    "create": lambda: write(OUTSIDE / "a"),
    "overwrite": lambda: write(CONTRACT),
    "append": lambda: os.close(os.open(CONTRACT, os.O_WRONLY | os.O_APPEND)),
    "remove": lambda: os.remove(OUTSIDE / "spare"),
    "make folder": lambda: os.mkdir(OUTSIDE / "folder"),
    "through a parent": lambda: write(WORK / ".." / OUTSIDE.name / "up"),
    "through a link": lambda: write(WORK / "old link"),
    "symlink": lambda: os.symlink(CONTRACT, WORK / "new link"),
    "pipe": lambda: os.mkfifo(WORK / "pipe"),
    "link out": link_out,
    "move in": move_in,
    "move out": move_out,
    "other program": other_program,
    "other thread": other_thread,
    "memory of another": lambda: os.close(os.open(f"/proc/{VICTIM}/mem", os.O_RDONLY)),
    "root of another": lambda: write(Path(f"/proc/{VICTIM}/root{OUTSIDE}/root")),
}
EMPTYING = {
    "empty": lambda: os.truncate(OUTSIDE / "full", 0),
    "open empty": lambda: os.close(os.open(OUTSIDE / "full", os.O_RDONLY | os.O_TRUNC)),
}
SIGNALS = {"signal": lambda: os.kill(VICTIM, signal.SIGCONT)}
MOUNTS = {"mount": mount}
OWN = {
    "within": within,
    "device": device,
    "read": CONTRACT.read_text,
    "log": lambda: os.write(2, b"line\n"),
    "own signal": lambda: os.kill(os.getpid(), signal.SIGCONT),
}


def attempt(way):
    try:
        way()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"


def become(user):
    """An ordinary user, as if it had started this program."""
    if user != os.getuid():
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)


def main():
    become(int(sys.argv[2]))
    told = {"folders": [], "fault": "", "text": ""}
    if sys.argv[1] == "yes":
        found = confine(WORK)
        folders = [str(folder) for folder in found.folders]
        told = {"folders": folders, "fault": found.fault, "text": found.describe()}
    kinds = {
        "others": OTHERS, "emptying": EMPTYING, "signals": SIGNALS, "mounts": MOUNTS, "own": OWN,
    }  # fmt: skip
    for kind, ways in kinds.items():
        told[kind] = {name: attempt(way) for name, way in ways.items()}
    print(json.dumps(told))


main()
