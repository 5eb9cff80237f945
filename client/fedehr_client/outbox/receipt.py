"""`Receipt`: what one answer was, and what became of it.

An answer that was stopped may hold anything, so that its receipt has none of its numbers.
"""

import json
import re
import secrets
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from fedehr_shared.errors import DataError
from fedehr_shared.wire.payload import Values

FORMAT = 1
Verdict = Literal["passed", "held", "released", "refused", "outdated", "stopped"]
"""`passed`: it may leave. `held`: it waits for a person, who `released` or `refused` it.
`outdated`: nobody asks for it any more. `stopped`: a check failed."""
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
MAY_LEAVE: frozenset[Verdict] = frozenset({"passed", "released"})
_DAMAGED = "a receipt is damaged, or of another version. Restore it from a backup, or remove it."
ID = re.compile(r"[0-9]{8}T[0-9]{9}Z-[0-9a-f]{16}")


@dataclass(frozen=True)
class TensorRecord:
    """What a receipt says of a record of tensors.

    Attributes:
        num_bytes: as it travels.
        sha256: of these bytes.
        dtype: of its tensors on the wire.
        num_elements: of all its tensors.
        norm: the L2 norm of all its numbers as one vector.
        largest: the greatest absolute value.
        shapes: by tensor.
    """

    num_bytes: int
    sha256: str
    dtype: str
    num_elements: int
    norm: float
    largest: float
    shapes: dict[str, list[int]]


@dataclass(frozen=True)
class Receipt:
    """One answer.

    Attributes:
        id: names the receipt; begins with its time.
        time: when it was sealed, UTC.
        site: who answers.
        contract: the digest of the contract.
        study: the study's name.
        study_digest: the study's.
        phase: of the round.
        round: from 1.
        attempt: the one that was answered first.
        run: the engine's name of the run.
        request: the digest of what was asked.
        min_cell: of which each count is a multiple.
        verdict: what became of it.
        reason: why it was stopped; else empty.
        sha256: of the exact bytes (`SealedBytes`).
        num_bytes: as ceilings count them.
        max_bytes: that the contract allows such an answer.
        max_update_norm: that the contract allows; None: it says nothing.
        tensors: by record.
        values: every number and text as told.
        decided: when a person decided; empty: nobody did.
        decided_by: the account of the machine that did.
    """

    id: str
    time: str
    site: str
    contract: str
    study: str
    study_digest: str
    phase: str
    round: int
    attempt: int
    run: str
    request: str
    min_cell: int
    verdict: Verdict
    sha256: str
    num_bytes: int
    reason: str = ""
    max_bytes: int = 0
    max_update_norm: float | None = None
    tensors: dict[str, TensorRecord] = field(default_factory=dict)
    values: dict[str, Values] = field(default_factory=dict)
    decided: str = ""
    decided_by: str = ""

    @property
    def work(self) -> str:
        """`phase/round`."""
        return f"{self.phase}/{self.round}"

    @property
    def norm(self) -> float | None:
        """Of the update; None where there is none."""
        update = self.tensors.get("update")
        return None if update is None else update.norm

    def with_verdict(self, verdict: Verdict, by: str = "") -> "Receipt":
        """The same after a decision; `by` is empty where no person took it."""
        if not by:
            return replace(self, verdict=verdict)
        return replace(self, verdict=verdict, decided=utc_now(), decided_by=by)

    def to_json(self) -> dict[str, Any]:
        """All of it, for `from_json` and for people."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, text: bytes | str) -> "Receipt":
        """Read what was written.

        Raises:
            DataError: it is no receipt.
        """
        try:
            values = json.loads(text)
            own_format = values.pop("format")
            tensors = {name: TensorRecord(**own) for name, own in values.pop("tensors").items()}
            receipt = cls(**values, tensors=tensors)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DataError(_DAMAGED) from error
        if own_format != FORMAT or receipt.verdict not in VERDICTS:
            raise DataError(_DAMAGED)
        return receipt


def new_id() -> str:
    """A name that no other receipt has; names are in the order of their times."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1_000:03d}Z-{secrets.token_hex(8)}"


def utc_now() -> str:
    """The time, in milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
