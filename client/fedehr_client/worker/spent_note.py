"""`SpentNote`: writes into the audit what a site's subjects have spent of their privacy.

Reckoning takes seconds and libraries that the worker does without: a process of its own does it,
while the worker goes on.
"""

import logging
import math
import subprocess
import sys
import threading

from fedehr_client.audit import events
from fedehr_client.audit.log import Audit
from fedehr_client.node.folder import NodeFolder
from fedehr_shared.errors import FedehrError

log = logging.getLogger("fedehr.client")

RECKON_SECONDS = 300.0


class SpentNote:
    """One reckoning at a time; what is asked meanwhile is noted after it, once."""

    def __init__(self, node: NodeFolder, audit: Audit) -> None:
        """Nothing is read yet."""
        self._node = node
        self._audit = audit
        self._lock = threading.Lock()
        self._wanted: str | None = None
        self._is_reckoning = False

    def write(self, contract_digest: str) -> None:
        """Reckon and write in the background what was spent, last of all under this contract."""
        with self._lock:
            self._wanted = contract_digest
            if self._is_reckoning:
                return
            self._is_reckoning = True
        threading.Thread(target=self._run, name="spent", daemon=True).start()

    def _run(self) -> None:
        while (contract_digest := self._next()) is not None:
            try:
                self._note(contract_digest)
            except (FedehrError, OSError, ValueError, subprocess.SubprocessError) as error:
                log.error("what was spent is not in the audit: %s", error)  # noqa: TRY400

    def _next(self) -> str | None:
        with self._lock:
            wanted, self._wanted = self._wanted, None
            self._is_reckoning = wanted is not None
            return wanted

    def _note(self, contract_digest: str) -> None:
        delta = self._node.config().ceilings.subject_delta
        spent = self._reckoned()
        if math.isfinite(spent):
            events.epsilon_spent(
                self._audit, contract=contract_digest, subject_epsilon=spent, delta=delta
            )

    def _reckoned(self) -> float:
        command = [sys.executable, "-m", "fedehr_client.supervision.spent", str(self._node.path)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=RECKON_SECONDS, check=True
        )
        return float(done.stdout)
