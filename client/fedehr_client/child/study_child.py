"""`StudyChild`: one process that computes, as its worker sees it."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fedehr_client.child.config import LimitsConfig
from fedehr_client.child.ending import in_words
from fedehr_client.child.environment import child_environment
from fedehr_client.child.frame import Frame
from fedehr_client.child.memory import held_bytes, memory_limit
from fedehr_client.child.pipes import Ended, Pipes
from fedehr_client.child.processors import processors
from fedehr_client.child.work_places import WorkPlaces
from fedehr_shared.errors import BusyError, ComputeError
from fedehr_shared.wire.payload import Payload

log = logging.getLogger("fedehr.client")

PROGRAM = (sys.executable, "-P", "-m", "fedehr_client.child")
START_SECONDS = 60.0
END_SECONDS = 5.0

WhyStop = Callable[[], str | None]


class StudyChild:
    """Started with its construction; ended for good by `kill`, or by any error."""

    def __init__(
        self,
        site_file: Path,
        places: WorkPlaces,
        limits: LimitsConfig,
        log_file: Path,
        program: Sequence[str],
    ) -> None:
        """Nothing has come from it yet.

        Raises:
            ComputeError: it cannot be started.
        """
        self._limit = memory_limit(limits)
        self._most_held = 0
        self._is_killed = False
        self._in_use = threading.RLock()
        self._log_file = log_file
        cpus = processors(limits.num_cpus)
        options = [f"--worker={os.getpid()}", f"--cpus={','.join(map(str, cpus))}"]
        options.append(f"--work={places.work}")
        if limits.require_isolation:
            options.append("--require-isolation")
        environment = child_environment(os.environ, site_file, places, len(cpus), self._limit)
        try:
            places.make()
            with os.fdopen(
                os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            ) as stderr:
                self._log_begins = os.fstat(stderr.fileno()).st_size
                self._process = subprocess.Popen(
                    [*program, *options],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    bufsize=0,
                    env=environment,
                    cwd="/",
                    start_new_session=True,
                    umask=0o077,
                )
        except OSError as error:
            raise ComputeError(
                f"cannot start a process for the study: {error.strerror}. Free memory, or mend "
                f"the permissions of {log_file} and {places.work}."
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._pipes = Pipes(self._process.stdin, self._process.stdout)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def begin(self, why_stop: WhyStop) -> None:
        """Wait until it has given up the network and the disk, and write down how.

        Raises:
            BusyError: the node must stop work.
            ComputeError: it has not, where it must; or it ended.
        """
        deadline = time.monotonic() + START_SECONDS

        def in_time() -> str | None:
            if time.monotonic() > deadline:
                raise ComputeError(
                    f"the study's process said nothing for {START_SECONDS:.0f} s. Read the end of "
                    f"{self._log_file}."
                )
            return why_stop()

        with self._killed_on_failure():
            ready = self._pipes.receive(lambda: self._watch(in_time))
            if ready.kind == "refused":
                raise ComputeError(
                    "this system lets no process give up the network "
                    f"({ready.payload.text('isolation', 'text')}). Allow user namespaces or "
                    "seccomp, or set [limits] require_isolation = false to work without."
                )
            if ready.kind != "ready":
                raise ComputeError("the study's process began with another message than it should.")
            log.info("process %d: %s", self.pid, ready.payload.text("isolation", "text"))

    def ask(self, request: Payload, why_stop: WhyStop) -> Payload:
        """The answer to a request.

        Raises:
            BusyError: the node must stop work; the process was ended.
            ComputeError: the process ended, or was, as it held too much memory.
        """
        with self._killed_on_failure():
            self._pipes.send(Frame("request", request), lambda: self._watch(why_stop))
            del request
            answer = self._pipes.receive(lambda: self._watch(why_stop))
            if answer.kind != "answer":
                raise ComputeError("the study's process sent another message than an answer.")
            return answer.payload

    def is_running(self) -> bool:
        """Whether it is alive."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it, and whatever it started, at once; from any thread."""
        if not self._is_killed:
            self._is_killed = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # Whoever waits for an answer finds the pipe's end, and lets go of it.
        with self._in_use:
            self._pipes.close()

    def end(self) -> None:
        """Let it end by itself where it has nothing to do, and see to it; from any thread."""
        if self._in_use.acquire(blocking=False):
            try:
                self._pipes.close()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(END_SECONDS)
            finally:
                self._in_use.release()
        self.kill()

    @contextlib.contextmanager
    def _killed_on_failure(self) -> Iterator[None]:
        with self._in_use:
            try:
                yield
            except Ended:
                raise ComputeError(self._ending()) from None
            except BaseException:
                self.kill()
                raise

    def _ending(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        self.kill()
        words = in_words(self._process.returncode, self._log_file, self._log_begins)
        return (
            f"the study's process {words}; it held at most {self._most_held:,} bytes of memory. "
            f"Read the end of {self._log_file}; the next request starts another."
        )

    def _watch(self, why_stop: WhyStop) -> None:
        self._require_memory()
        reason = why_stop()
        if reason is not None:
            raise BusyError(reason)

    def _require_memory(self) -> None:
        held = held_bytes(self.pid)
        self._most_held = max(self._most_held, held)
        if held > self._limit:
            raise ComputeError(
                f"the study's process held {held:,} bytes of memory, and {self._limit:,} are "
                "allowed ([limits] max_memory_bytes, or nine tenths of the machine). It was ended. "
                "Raise that, or lower [compute] token_budget."
            )
