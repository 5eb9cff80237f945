"""`Program`: one of our programs as a process that does not outlive this one."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fedehr_client.trial.tether import tethered
from fedehr_shared.errors import (
    ConfigError,
    DataError,
    DeadlineError,
    FedehrError,
    NetworkError,
    PolicyError,
)
from fedehr_shared.processes import POLL_SECONDS, engine_program

COMMAND_SECONDS = 300.0
END_SECONDS = 45.0
_TOLD_LINES = 5
_KINDS: dict[int, type[FedehrError]] = {
    kind.exit_code: kind
    for kind in (ConfigError, DataError, NetworkError, PolicyError, DeadlineError)
}


class Program:
    """A process that stays until it is ended; SIGKILL to this process ends it too."""

    def __init__(self, name: str, words: list[str], log_file: Path) -> None:
        """Start it; its output goes to `log_file`.

        Raises:
            NetworkError: it is not installed.
        """
        self.name = name
        self._log_file = log_file
        with log_file.open("wb") as log:
            self.process = subprocess.Popen(
                tethered([engine_program(name), *words]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_for(self, word: str, seconds: float) -> None:
        """Wait until it has printed `word`.

        Raises:
            NetworkError: it ended before.
            DeadlineError: it did not in time.
        """
        deadline = time.monotonic() + seconds
        while word not in self._output():
            if self.process.poll() is not None:
                raise NetworkError(f"{self.name} ended before the rehearsal began: {self._end()}")
            if time.monotonic() > deadline:
                raise DeadlineError(
                    f"{self.name} was not ready within {seconds:.0f} s: {self._end()}"
                )
            time.sleep(POLL_SECONDS)

    def end(self) -> None:
        """Ask it to end; kill it where it does not."""
        self.process.terminate()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _output(self) -> str:
        return self._log_file.read_text(encoding="utf-8", errors="replace")

    def _end(self) -> str:
        return " ".join(self._output().strip().splitlines()[-_TOLD_LINES:]) or "it said nothing"


def ask(name: str, *words: str) -> str:
    """Run a command to its end and give what it printed.

    Raises:
        FedehrError: it failed, with what it said; of the kind that its exit code tells.
        NetworkError: it is not installed.
        DeadlineError: it took too long.
    """
    done = _run(name, words, stderr=subprocess.PIPE, seconds=COMMAND_SECONDS)
    if done.returncode:
        said = _said(done.stderr) or "it said nothing"
        kind = _KINDS.get(done.returncode, FedehrError)
        raise kind(f"`{name} {words[0]}` of the rehearsal failed: {said}")
    return done.stdout


def ask_openly(name: str, *words: str) -> dict[str, Any]:
    """Run a command that prints JSON; its progress comes out on our standard error.

    Raises:
        NetworkError: it is not installed, or printed no JSON.
    """
    sys.stderr.flush()
    done = _run(name, words, stderr=None, seconds=None)
    try:
        told: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise NetworkError(
            f"`{name} {words[0]}` of the rehearsal ended with {done.returncode}; its reason "
            "stands above."
        ) from error
    return told


def _run(
    name: str, words: tuple[str, ...], stderr: int | None, seconds: float | None
) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            tethered([engine_program(name), *words]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineError(f"`{name} {words[0]}` took more than {seconds:.0f} s.") from error


def _said(text: str) -> str:
    """The words of an error; of a fault in the program its last line, which names it."""
    told = text.rpartition("error: ")[2]
    if "Traceback (most recent call last)" in told:
        told = told.strip().rpartition("\n")[2]
    return " ".join(told.split())
