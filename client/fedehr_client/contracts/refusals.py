"""`Refusals`: writes refused requests into the audit, the same one not again and again.

A coordinator that waits for an approval asks every few seconds.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass

from fedehr_client.audit import events
from fedehr_client.audit.log import Audit
from fedehr_shared.errors import FedehrError

_AGAIN_AFTER_SECONDS = 3_600.0
_MOST_KNOWN = 1_000
_MOST_REASON = 400


@dataclass
class _Told:
    at: float
    num_since: int = 0


@dataclass(frozen=True)
class RefusedRequest:
    """What is known of a request that was refused; what is not yet known is empty.

    Attributes:
        kind: `work`, `proposal` or `end`.
        contract: digest.
        study: name.
        run_id: the engine's; 0: none.
        work: phase, round and attempt.
    """

    kind: str
    contract: str = ""
    study: str = ""
    run_id: int = 0
    work: str = ""

    def named(self) -> dict[str, str]:
        """As the audit tells it."""
        return {
            "kind": self.kind,
            "contract": self.contract,
            "study": self.study,
            "run": str(self.run_id or ""),
            "work": self.work,
        }


class Refusals:
    """Of one process."""

    def __init__(self, audit: Audit) -> None:
        """Nothing is written yet."""
        self._audit = audit
        self._told: OrderedDict[tuple[RefusedRequest, str, str], _Told] = OrderedDict()

    def record(self, request: RefusedRequest, error: FedehrError) -> None:
        """Write a refusal down, unless the very same was within the hour; then count it.

        Raises:
            DataError: the audit cannot be written.
        """
        reason = str(error)[:_MOST_REASON]
        key = (request, error.code, reason)
        now, told = time.monotonic(), self._told.get(key)
        if told is not None and now - told.at < _AGAIN_AFTER_SECONDS:
            told.num_since += 1
            return
        events.request_refused(
            self._audit,
            named=request.named(),
            code=error.code,
            reason=reason,
            num_repeated=0 if told is None else told.num_since,
        )
        self._told[key] = _Told(now)
        self._told.move_to_end(key)
        while len(self._told) > _MOST_KNOWN:
            self._told.popitem(last=False)
