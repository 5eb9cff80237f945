"""`Reckoning`: what a node's ledger says is spent, reckoned in a process of its own.

    python -m fedehr_client.supervision.reckoning DIR    prints epsilon, and the delta that it is at

It takes seconds, and libraries that neither supervisor nor worker has another use for.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedehr_client.node.folder import NodeFolder, open_node
from fedehr_shared.errors import DataError, FedehrError

PROGRAM = (sys.executable, "-P", "-m", "fedehr_client.supervision.reckoning")
RECKON_SECONDS = 300.0
_FILES = ("ledger.jsonl", "ledger.last", "spent.jsonl")
_ERROR = "error: "

Seen = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Spent:
    """What all studies together have spent of each subject's privacy.

    Attributes:
        subject_epsilon: one subject added or removed; infinite where delta is used up.
        delta: the site file's, at which that is reckoned.
    """

    subject_epsilon: float
    delta: float


def spent_at(node: NodeFolder) -> Spent:
    """Of all charges together, reckoned in this process.

    Raises:
        ConfigError: the site file is wrong.
        DataError: the ledger is damaged or cannot be read.
    """
    from fedehr_client.ledger.ledger_file import LedgerFile
    from fedehr_client.ledger.spending import Spending

    config = node.config()
    entries = LedgerFile(config.site.work, config.site.name).read()
    delta = config.ceilings.subject_delta
    return Spent(Spending.of(entries).subject_epsilon(delta), delta)


class Reckoning:
    """The process; one at a time."""

    def __init__(self, node: NodeFolder, work: Path, *, program: Sequence[str] = PROGRAM) -> None:
        """Nothing is read or started yet.

        Args:
            node: whose site file says how to reckon.
            work: the site's work folder, which holds the ledger.
            program: what is started.
        """
        self._command = [*program, str(node.path)]
        self._files = [node.site_file, *(work / "privacy" / name for name in _FILES)]
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._is_stopped = False

    def seen(self) -> Seen:
        """Differs from what it was wherever the ledger or the site file does."""
        return tuple(_time_and_size(file) for file in self._files)

    def run(self) -> Spent:
        """Reckon.

        Raises:
            DataError: the ledger or the site file cannot be relied on; or the process ended
                otherwise than it should, or was stopped.
        """
        process = self._started()
        try:
            told, reason = process.communicate(timeout=RECKON_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise _unreckoned(f"within {RECKON_SECONDS:.0f} s") from error
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            raise _failed(process.returncode, reason)
        return _parsed(told)

    def stop(self) -> None:
        """End the process, from another thread; none begins any more."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.kill()

    def _started(self) -> "subprocess.Popen[str]":
        with self._lock:
            if self._is_stopped:
                raise _unreckoned("before the node stopped")
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            except OSError as error:
                raise DataError(
                    f"what is spent cannot be reckoned: a process cannot be started "
                    f"({error.strerror}). Free memory or processes."
                ) from error
            return self._process


def _time_and_size(file: Path) -> tuple[int, int]:
    try:
        found = os.stat(file)
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def _parsed(told: str) -> Spent:
    try:
        epsilon, delta = map(float, told.split())
    except ValueError as error:
        raise _unreckoned("by a process that said something else") from error
    return Spent(epsilon, delta)


def _failed(status: int, reason: str) -> DataError:
    """In the process's own words, where they are meant for people."""
    if reason.startswith(_ERROR):
        return DataError(reason.removeprefix(_ERROR).strip())
    return _unreckoned(f"by a process that ended with status {status}")


def _unreckoned(how: str) -> DataError:
    return DataError(f"what is spent was not reckoned {how}. `fedehr-client budget` tells it.")


def main() -> int:
    """Reckon for the node in the folder that is named; returns the exit code."""
    try:
        spent = spent_at(open_node(Path(sys.argv[1])))
    except FedehrError as error:
        print(f"{_ERROR}{error}", file=sys.stderr)
        return error.exit_code
    print(spent.subject_epsilon, spent.delta)
    return 0


if __name__ == "__main__":
    sys.exit(main())
