"""`Refusals`: writes refused requests into the audit, the same one not again and again.

A coordinator that waits for an approval asks every few seconds. One that means harm could name
another contract each time, to fill the disk: beyond some lines an hour, requests are counted.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass

from fedehr_client.audit import events
from fedehr_client.audit.log import Audit
from fedehr_shared.errors import FedehrError
from fedehr_shared.full_disk import as_storage

_AGAIN_AFTER_SECONDS = 3_600.0
_MOST_KNOWN = 1_000
_MOST_REASON = 400
_MOST_LINES = 500
"""An hour."""
_FLOOD = f"more than {_MOST_LINES} requests of many kinds were refused in an hour: they are counted"


@dataclass
class _Told:
    at: float
    num_since: int = 0


@dataclass
class _Hour:
    began: float
    num_lines: int = 0
    num_untold: int = 0


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


_ANY = RefusedRequest("any")


class Refusals:
    """Of one process."""

    def __init__(self, audit: Audit) -> None:
        """Nothing is written yet."""
        self._audit = audit
        self._told: OrderedDict[tuple[RefusedRequest, str, str], _Told] = OrderedDict()
        self._hour = _Hour(time.monotonic())

    def record(self, request: RefusedRequest, error: Exception) -> None:
        """Write a refusal down, unless the very same was within the hour; then count it.

        Of an error that is not our own only the kind is told: its text may quote anything.

        Raises:
            DataError: the audit cannot be written.
        """
        code, reason = _in_words(error)
        key = (request, code, reason)
        now, told = time.monotonic(), self._told.get(key)
        if told is not None and now - told.at < _AGAIN_AFTER_SECONDS:
            told.num_since += 1
            return
        if not self._has_room(now):
            return
        num_repeated = 0 if told is None else told.num_since
        self._write(request, code, reason, num_repeated)
        self._told[key] = _Told(now)
        self._told.move_to_end(key)
        while len(self._told) > _MOST_KNOWN:
            self._told.popitem(last=False)

    def _has_room(self, now: float) -> bool:
        """Whether this hour takes one more line; that it does not, and how often, is told."""
        if now - self._hour.began >= _AGAIN_AFTER_SECONDS:
            if self._hour.num_untold:
                self._write(_ANY, FedehrError.code, _FLOOD, self._hour.num_untold)
            self._hour = _Hour(now)
        if self._hour.num_lines < _MOST_LINES:
            self._hour.num_lines += 1
            return True
        if not self._hour.num_untold:
            self._write(_ANY, FedehrError.code, _FLOOD, 0)
        self._hour.num_untold += 1
        return False

    def _write(self, request: RefusedRequest, code: str, reason: str, num_repeated: int) -> None:
        events.request_refused(
            self._audit,
            named=request.named(),
            code=code,
            reason=reason,
            num_repeated=num_repeated,
        )


def _in_words(error: Exception) -> tuple[str, str]:
    error = as_storage(error)
    if isinstance(error, FedehrError):
        return error.code, str(error)[:_MOST_REASON]
    return FedehrError.code, f"it could not be read ({type(error).__name__})"
