"""A process that computes, as a node's worker starts it, which does what a test asks of it."""

import ctypes
import fcntl
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from fedehr_client.child.serving import serve

CANARY = "DX//canary-4711"


class Behaving:
    def answer(self, request):
        what = request.values["ask"]["what"]
        return getattr(self, what)(request) or request

    def idle(self):
        pass

    def echo(self, request):
        return request

    def look(self, request):
        from fedehr_shared.wire.payload import Payload

        lines = Path("/proc/self/status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        pipes = [
            os.readlink(f"/proc/self/fd/{name}")
            for name in os.listdir("/proc/self/fd")
            if os.path.islink(f"/proc/self/fd/{name}")
        ]
        system = ctypes.CDLL(None)
        old = os.umask(0o077)
        return Payload(
            values={
                "seen": {
                    "descriptors": sorted(pipes),
                    "no_new_privs": status["NoNewPrivs"],
                    "umask": old,
                    "dumpable": system.prctl(3, 0, 0, 0, 0),
                    "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
                    "processors": sorted(os.sched_getaffinity(0)),
                    "oom": int(Path("/proc/self/oom_score_adj").read_text()),
                    "environment": sorted(os.environ),
                    "folder": os.getcwd(),
                    "temporary": tempfile.gettempdir(),
                    "threads": os.environ.get("OMP_NUM_THREADS", ""),
                }
            }
        )

    def rubbish(self, request):
        print("rubbish", flush=True)
        os.write(1, b"FDH1" * 100)
        os.write(2, b"FDH1" * 100)
        subprocess.run(["/bin/echo", "more rubbish"], check=True)
        assert sys.stdin.read() == ""

    def crash(self, request):
        ctypes.string_at(0)

    def abort(self, request):
        os.abort()

    def raise_memory(self, request):
        raise MemoryError(CANARY)

    def warn(self, request):
        warnings.warn(CANARY, stacklevel=1)

    def leave(self, request):
        os._exit(7)

    def fill(self, request):
        held = []
        while True:
            held.append(bytearray(b"1") * 2**24)
            time.sleep(0.02)

    def fill_elsewhere(self, request):
        code = "held = []\nwhile True: held.append(bytearray(b'1') * 2**24)"
        subprocess.run([sys.executable, "-c", f"import time\n{code}; time.sleep(0.02)"], check=True)

    def hang(self, request):
        Path(request.values["ask"]["file"]).write_text(str(os.getpid()))
        while True:
            time.sleep(60)

    def hang_with_another(self, request):
        other = subprocess.Popen(["/bin/sleep", "600"])
        Path(request.values["ask"]["file"]).write_text(str(other.pid))
        time.sleep(600)

    def write_raw(self, request):
        out = _answers()
        os.write(out, request.tensors["raw"])
        time.sleep(600)

    def write_for_ever(self, request):
        from fedehr_client.child.frame import Frame
        from fedehr_shared.wire.payload import Payload

        head = Frame("answer", Payload({"update": bytes(2**20)})).parts()[:2]
        out = _answers()
        # A gigabyte is announced.
        header = head[1].replace(str(2**20).encode(), str(2**30).encode())
        os.write(out, b"FDH1" + len(header).to_bytes(4, "little") + (2**30).to_bytes(8, "little"))
        os.write(out, header)
        while True:
            os.write(out, b"0" * 1000)
            time.sleep(0.001)

    def twice(self, request):
        from fedehr_client.child.frame import Frame

        for part in Frame("answer", request).parts():
            os.write(_answers(), part)


def _answers():
    """The pipe to the worker, which no code but the frames' should write to."""
    for name in map(int, os.listdir("/proc/self/fd")):
        try:
            is_written = fcntl.fcntl(name, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
            if name > 2 and is_written and os.readlink(f"/proc/self/fd/{name}").startswith("pipe"):
                return name
        except OSError:
            continue
    raise AssertionError("no pipe")


def make():
    if os.environ.get("FEDEHR_TEST_BREAKS"):
        raise KeyError(CANARY)
    return Behaving()


serve(sys.argv[1:], make)
