"""`Pipes`: the worker's ends of the pipes to a process that may hang, lie or end at any moment."""

import os
import select
import time
from collections.abc import Callable
from typing import IO

from fedehr_client.child.frame import Frame, FrameError, read_frame

WATCH_SECONDS = 0.2
_PIECE_BYTES = 2**20

Watch = Callable[[], None]
"""Called every `WATCH_SECONDS` while something is awaited; raises to give up."""


class Ended(Exception):
    """The process closed its end."""


class Pipes:
    """Writes requests and reads answers, and looks up from it now and then."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        """Both without buffers."""
        self._requests = requests
        self._answers = answers
        self._writable = _poll(requests, select.POLLOUT)
        self._readable = _poll(answers, select.POLLIN)
        self._looked = 0.0

    def send(self, frame: Frame, watch: Watch) -> None:
        """Write a request.

        Raises:
            FrameError: it is too large, or an answer to nothing lies in the pipe.
            Ended: the process did.
        """
        parts = frame.parts()
        if self._readable.poll(0) and os.read(self._answers.fileno(), 1):
            raise FrameError("the process answered what it was not asked.")
        for part in parts:
            self._write(memoryview(part), watch)

    def receive(self, watch: Watch) -> Frame:
        """Read an answer.

        Raises:
            FrameError: what comes is no frame.
            Ended: the process did.
        """
        return read_frame(lambda most_bytes: self._read(most_bytes, watch))

    def close(self) -> None:
        """A process that waits for a request ends by it."""
        self._requests.close()
        self._answers.close()

    def _write(self, part: memoryview, watch: Watch) -> None:
        descriptor = self._requests.fileno()
        while part:
            self._await(self._writable, watch)
            try:
                part = part[os.write(descriptor, part[:_PIECE_BYTES]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise Ended from None

    def _read(self, most_bytes: int, watch: Watch) -> bytes:
        while True:
            self._await(self._readable, watch)
            try:
                piece = os.read(self._answers.fileno(), most_bytes)
            except BlockingIOError:
                continue
            if not piece:
                raise Ended
            return piece

    def _await(self, ready: select.poll, watch: Watch) -> None:
        """Return when a pipe is ready; `watch` is called at its times also where it always is."""
        while True:
            if time.monotonic() - self._looked >= WATCH_SECONDS:
                watch()
                self._looked = time.monotonic()
            if ready.poll(WATCH_SECONDS * 1_000):
                return


def _poll(stream: IO[bytes], event: int) -> select.poll:
    os.set_blocking(stream.fileno(), False)
    ready = select.poll()
    ready.register(stream.fileno(), event)
    return ready
