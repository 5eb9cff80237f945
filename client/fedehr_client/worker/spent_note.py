"""`SpentNote`: writes into the audit what a site's subjects have spent of their privacy.

Reckoning takes seconds: a process of its own does it, while the worker goes on.
"""

import logging
import threading

from fedehr_client.audit import events
from fedehr_client.audit.log import Audit
from fedehr_client.supervision.reckoning import Reckoning, Seen
from fedehr_shared.errors import FedehrError

log = logging.getLogger("fedehr.client")

CLOSE_SECONDS = 5.0
"""Less than `ending.GRACE_SECONDS`: a worker that is told to end has that long for all."""
_STOP_SECONDS = 1.0


class SpentNote:
    """One reckoning at a time; what is asked meanwhile is noted after it, once."""

    def __init__(self, audit: Audit, reckoning: Reckoning) -> None:
        """Nothing is read or written yet."""
        self._audit = audit
        self._reckoning = reckoning
        self._lock = threading.Lock()
        self._wanted: str | None = None
        self._thread: threading.Thread | None = None
        self._noted: Seen | None = None

    def write(self, contract_digest: str) -> None:
        """Note in the background what was spent, last of all under this contract.

        A ledger that has not changed since it was noted is not noted again: a coordinator may ask
        the same for ever. What goes wrong is in the log.
        """
        with self._lock:
            self._wanted = contract_digest
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._run, name="spent", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:
                # No thread can be had now. The next answer's note tells of this one too.
                self._thread = None
                _tell_unnoted(error)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Wait so long for what is still to be noted; then give it up, and say so in the log."""
        with self._lock:
            thread = self._thread
        if thread is None:
            return
        thread.join(seconds)
        if thread.is_alive():
            self._reckoning.stop()
            thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while (contract_digest := self._next()) is not None:
            try:
                self._note(contract_digest)
            except Exception as error:
                _tell_unnoted(error)

    def _next(self) -> str | None:
        with self._lock:
            wanted, self._wanted = self._wanted, None
            if wanted is None:
                self._thread = None
            return wanted

    def _note(self, contract_digest: str) -> None:
        # Before it is reckoned: what is charged meanwhile differs the next time.
        seen = self._reckoning.seen()
        if seen == self._noted:
            return
        spent = self._reckoning.run()
        events.epsilon_spent(
            self._audit,
            contract=contract_digest,
            subject_epsilon=spent.subject_epsilon,
            delta=spent.delta,
        )
        self._noted = seen


def _tell_unnoted(error: Exception) -> None:
    reason = str(error) if isinstance(error, FedehrError) else type(error).__name__
    log.error("what was spent is not in the audit: %s", reason)
