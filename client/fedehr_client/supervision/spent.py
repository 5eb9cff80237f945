"""`SpentEpsilon`: what the ledger says is spent, for those who ask every few seconds."""

import logging
import threading
from pathlib import Path

from fedehr_client.node.folder import NodeFolder
from fedehr_client.supervision.reckoning import Reckoning, Seen
from fedehr_shared.errors import FedehrError

log = logging.getLogger(__name__)


class SpentEpsilon:
    """The last value known; reckoned anew in the background whenever the ledger has changed."""

    def __init__(self, node: NodeFolder, work: Path) -> None:
        """Nothing is read yet.

        Args:
            node: whose site file says how to reckon.
            work: the site's work folder, which holds the ledger.
        """
        self._reckoning = Reckoning(node, work)
        self._reckoned_for: Seen | None = None
        self._value: float | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def value(self) -> float | None:
        """The last value; None while there is none."""
        with self._lock:
            is_idle = self._thread is None or not self._thread.is_alive()
            seen = self._reckoning.seen()
            if is_idle and seen != self._reckoned_for:
                self._reckoned_for = seen
                self._thread = threading.Thread(target=self._reckon, name="spent", daemon=True)
                self._thread.start()
            return self._value

    def _reckon(self) -> None:
        try:
            self._value = self._reckoning.run().subject_epsilon
        except FedehrError as error:
            # No number is better than an old one that looks like today's.
            self._value = None
            log.warning("no epsilon is told: %s", error)
