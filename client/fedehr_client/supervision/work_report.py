"""`WorkReport`: what the worker does, told to the supervisor through one small file.

It is about the worker and the number of its rounds, for health, metrics and `status`. What a
study asked and what left is in the audit and in the receipts.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedehr_client.supervision.json_file import JsonFile

WORK_FILE = "work.json"
TELL_SECONDS = 5.0
"""How often an idle worker says that it is there."""


class WorkReport:
    """The worker's end: it goes on counting where the worker before it stopped.

    A full disk stops the report, never the work: a later call writes all of it again.
    """

    def __init__(self, state: Path, clock: Callable[[], float] = time.time) -> None:
        """`state` is the node's state folder."""
        self._file = JsonFile(state / WORK_FILE)
        self._clock = clock
        self._told = float("-inf")
        self._content = {**_nothing(), **self._file.read(), "task": None}

    def polled(self) -> None:
        """It has asked for work and got none."""
        if self._clock() - self._told >= TELL_SECONDS:
            self._tell()

    def began(self, kind: str) -> None:
        """It took a task; `kind` is `work`, `proposal`, `end`, or empty where not known yet."""
        self._content["task"] = {"kind": kind, "since": self._clock()}
        self._tell()

    def answered(
        self, study: str, phase: str, round_number: int, seconds: float, num_bytes: int
    ) -> None:
        """A round's answer went to the SuperNode."""
        self._content["num_rounds"] += 1
        self._content["last_round"] = {
            "study": study,
            "phase": phase,
            "round": round_number,
            "time": self._clock(),
            "seconds": seconds,
            "bytes": num_bytes,
        }
        self._finish(num_bytes)

    def finished(self, num_bytes: int) -> None:
        """Another kind of task was answered."""
        self._finish(num_bytes)

    def failed(self, code: str, num_bytes: int = 0) -> None:
        """A task was answered by an error; `code` is one of `errors.ERROR_CODES`."""
        errors: dict[str, int] = self._content["errors"]
        errors[code] = errors.get(code, 0) + 1
        self._finish(num_bytes)

    def _finish(self, num_bytes: int) -> None:
        self._content["task"] = None
        self._content["num_bytes"] += num_bytes
        self._tell()

    def _tell(self) -> None:
        self._content["polled"] = self._told = self._clock()
        with contextlib.suppress(OSError):
            self._file.write(self._content)


def read_work(state: Path) -> dict[str, Any]:
    """What the worker last told: `polled` (seconds since 1970), `task`, `num_rounds`, `num_bytes`,
    `errors` (by code), `last_round`; without a worker, nothing."""
    return {**_nothing(), **JsonFile(state / WORK_FILE).read()}


def _nothing() -> dict[str, Any]:
    return {
        "polled": None,
        "task": None,
        "num_rounds": 0,
        "num_bytes": 0,
        "errors": {},
        "last_round": None,
    }
