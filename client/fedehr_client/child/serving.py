"""`serve`: the life of a process that computes, from its first line to its last."""

import argparse
import logging
import os
import select
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

from fedehr_client.child.ending import hear_of_errors
from fedehr_client.child.seal import Sealed, seal
from fedehr_client.utc_formatter import UtcFormatter

if TYPE_CHECKING:
    from fedehr_shared.wire.payload import Payload

IDLE_SECONDS = 10.0


class Responder(Protocol):
    """Who answers."""

    def answer(self, request: "Payload") -> "Payload":
        """The answer to a request."""

    def idle(self) -> None:
        """Called every `IDLE_SECONDS` between requests."""


def serve(arguments: Sequence[str], make_responder: Callable[[], Responder]) -> NoReturn:
    """Give up what is not needed, then answer until the worker closes the pipe.

    Args:
        arguments: of the command line.
        make_responder: called afterwards: what it imports may start threads.
    """
    hear_of_errors()
    options = _options(arguments)
    processors = frozenset(int(number) for number in options.cpus.split(",") if number)
    sealed = seal(options.worker, processors, options.work)
    _write_to_log()
    may_work = bool(sealed.isolation.protections) or not options.require_isolation
    _tell(sealed, "ready" if may_work else "refused")
    if not may_work:
        sys.exit(0)
    _answer_all(sealed, make_responder())


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fedehr_client.child")
    parser.add_argument("--worker", type=int, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--cpus", default="")
    parser.add_argument("--require-isolation", action="store_true")
    return parser.parse_args(arguments)


def _write_to_log() -> None:
    """Our own lines with their times (UTC); of a warning its kind and place alone, as its text
    may quote a record."""
    handler = logging.StreamHandler()
    handler.setFormatter(UtcFormatter())
    logging.getLogger("fedehr").addHandler(handler)
    logging.getLogger("fedehr").setLevel(logging.INFO)
    # A library that logs makes a handler for all, which would repeat our lines.
    logging.getLogger("fedehr").propagate = False

    def show(_: object, category: type[Warning], filename: str, line: int, *__: object) -> None:
        sys.stderr.write(f"{category.__name__} at {filename}:{line}\n")

    warnings.showwarning = show  # type: ignore[assignment]


def _tell(sealed: Sealed, kind: str) -> None:
    from fedehr_client.child.frame import Frame
    from fedehr_shared.wire.payload import Payload

    logging.getLogger("fedehr.client").info("%s: %s", kind, sealed.describe())
    about = Payload(values={"isolation": {"text": sealed.describe()}})
    _write(sealed, Frame(kind, about).parts())


def _answer_all(sealed: Sealed, responder: Responder) -> NoReturn:
    from fedehr_client.child.frame import Frame, read_frame

    while True:
        _await(sealed, responder)
        # Neither is held while the next is awaited: each is as large as a model.
        answer = responder.answer(read_frame(partial(_read, sealed)).payload)
        _write(sealed, Frame("answer", answer).parts())
        del answer


def _await(sealed: Sealed, responder: Responder) -> None:
    while not select.select([sealed.requests], [], [], IDLE_SECONDS)[0]:
        responder.idle()


def _read(sealed: Sealed, most_bytes: int) -> bytes:
    piece = sealed.requests.read(most_bytes)
    if not piece:
        _leave()
    return piece


def _write(sealed: Sealed, parts: Sequence[bytes]) -> None:
    try:
        for part in parts:
            sealed.answers.write(part)
        sealed.answers.flush()
    except BrokenPipeError:
        _leave()


def _leave() -> NoReturn:
    """Nothing is worked on, and the worker waits: torch takes seconds to take itself down."""
    logging.shutdown()
    os._exit(0)
