"""`SpentEpsilon`: what the ledger says is spent, reckoned in a process of its own.

Reckoning takes seconds and libraries that the supervisor has no other use for.
"""

import subprocess
import sys
import threading
from pathlib import Path

from fedehr_client.node.folder import NodeFolder, open_node

RECKON_SECONDS = 300.0


def spent_epsilon(node: NodeFolder) -> float:
    """Epsilon of all charges together, at the delta of the site file.

    Raises:
        ConfigError: the site file is wrong.
        DataError: the ledger is damaged or cannot be read.
    """
    from fedehr_client.ledger.ledger_file import LedgerFile
    from fedehr_client.ledger.spending import Spending

    config = node.config()
    entries = LedgerFile(config.site.work, config.site.name).read()
    return Spending.of(entries).subject_epsilon(config.ceilings.subject_delta)


class SpentEpsilon:
    """The last value known; reckoned anew in the background whenever the ledger has changed."""

    def __init__(self, node: NodeFolder, work: Path) -> None:
        """Nothing is read yet.

        Args:
            node: whose site file says how to reckon.
            work: the site's work folder, which holds the ledger.
        """
        self._node = node
        self._ledger = work / "privacy" / "ledger.jsonl"
        self._reckoned_for: tuple[int, int] | None = None
        self._value: float | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def value(self) -> float | None:
        """The last value; None while there is none."""
        with self._lock:
            is_idle = self._thread is None or not self._thread.is_alive()
            seen = self._seen()
            if is_idle and seen != self._reckoned_for:
                self._reckoned_for = seen
                self._thread = threading.Thread(target=self._reckon, name="spent", daemon=True)
                self._thread.start()
            return self._value

    def _seen(self) -> tuple[int, int]:
        try:
            found = self._ledger.stat()
        except OSError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_size)

    def _reckon(self) -> None:
        command = [sys.executable, "-m", "fedehr_client.supervision.spent", str(self._node.path)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=RECKON_SECONDS, check=True
            )
            value = float(done.stdout)
        except (OSError, ValueError, subprocess.SubprocessError):
            # No number is better than an old one that looks like today's.
            self._value = None
            return
        self._value = value


if __name__ == "__main__":
    print(spent_epsilon(open_node(Path(sys.argv[1]))))
