"""The events of a node's audit, each with what it tells and nothing else.

Names, digests, numbers, codes, and what a person or the gate says of a contract: no function here
takes a text that a record could fill.
"""

import math
import re
from typing import TYPE_CHECKING

from fedehr_client.audit.log import Audit, Fact
from fedehr_shared import __version__
from fedehr_shared.errors import ERROR_CODES

if TYPE_CHECKING:
    # The supervisor writes events too, and has no use for arrays.
    from fedehr_shared.wire.work import WorkId

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9[][A-Za-z0-9._:+@\[\]-]{0,252}")
_MOST_CHARACTERS = 400
_RECEIPT = re.compile(r"[0-9TZ]{1,32}-[0-9a-f]{16}")


def joined(audit: Audit, *, coordinator: str) -> None:
    """The node is connected: `coordinator` is `host:port`."""
    audit.append("join", {"coordinator": _name(coordinator)})


def left(audit: Audit, *, coordinator: str) -> None:
    """The node has left the federation for good."""
    audit.append("leave", {"coordinator": _name(coordinator)})


def started(audit: Audit, *, flwr_version: str) -> None:
    """The node's programs begin, of these versions."""
    audit.append("start", {"fedehr_version": __version__, "flwr_version": _name(flwr_version)})


def stopped(audit: Audit) -> None:
    """The node's programs have ended."""
    audit.append("stop", {})


def paused(audit: Audit) -> None:
    """Somebody paused the node."""
    audit.append("pause", {})


def resumed(audit: Audit) -> None:
    """Somebody let the node go on."""
    audit.append("resume", {})


def contract_received(audit: Audit, *, contract: str, study: str) -> None:
    """A signed contract came; nobody has decided about it."""
    audit.append("contract_received", _contract(contract, study))


def contract_approved(audit: Audit, *, contract: str, study: str, by: str, note: str = "") -> None:
    """A person approved a contract: who, and what they wrote beside it."""
    audit.append("contract_approved", {**_contract(contract, study), **_person(by, note)})


def contract_refused(audit: Audit, *, contract: str, study: str, by: str, note: str = "") -> None:
    """A person refused a contract."""
    audit.append("contract_refused", {**_contract(contract, study), **_person(by, note)})


def contract_revoked(audit: Audit, *, contract: str, study: str, by: str, note: str = "") -> None:
    """A person took an approval back."""
    audit.append("contract_revoked", {**_contract(contract, study), **_person(by, note)})


def request_refused(
    audit: Audit, *, named: dict[str, str], code: str, reason: str, num_repeated: int
) -> None:
    """A request was refused before anything was done for it.

    Args:
        audit: of the node.
        named: what the request said it is.
        code: that the coordinator is told.
        reason: the gate's own words, which speak of the request and of no record.
        num_repeated: how often the same was refused since the last such line.
    """
    why: dict[str, Fact] = {"code": _code(code), "reason": _printable(reason)}
    audit.append("request_refused", {**named, **why, "num_repeated": int(num_repeated)})


def round_asked(audit: Audit, *, contract: str, work: "WorkId", run_id: int, request: str) -> None:
    """An approved contract was asked for a round; `request` is the digest of what was asked."""
    run: dict[str, Fact] = {"run": str(int(run_id)), "request": _digest(request)}
    audit.append("round_asked", {**_work(contract, work), **run})


def round_answered(
    audit: Audit,
    *,
    contract: str,
    work: "WorkId",
    receipt: str,
    num_bytes: int,
    sha256: str,
) -> None:
    """An answer was given to the engine: its receipt says what it holds."""
    sent: dict[str, Fact] = {
        "receipt": _matching(_RECEIPT, receipt),
        "num_bytes": int(num_bytes),
        "sha256": _digest(sha256),
    }
    audit.append("round_answered", {**_work(contract, work), **sent})


def round_refused(audit: Audit, *, contract: str, work: "WorkId | None", code: str) -> None:
    """A message was answered by an error; `contract` is empty where it named none."""
    named: dict[str, Fact] = {} if work is None else _work(contract, work)
    if work is None and contract:
        named = {"contract": _digest(contract)}
    audit.append("round_refused", {**named, "code": _code(code)})


def answer_stopped(audit: Audit, *, contract: str, work: "WorkId", receipt: str) -> None:
    """The outbox let an answer not leave: its receipt says why."""
    audit.append("answer_stopped", {**_work(contract, work), "receipt": _receipt(receipt)})


def answer_held(audit: Audit, *, contract: str, work: "WorkId", receipt: str) -> None:
    """An answer waits for a person."""
    audit.append("answer_held", {**_work(contract, work), "receipt": _receipt(receipt)})


def answer_released(audit: Audit, *, receipt: str) -> None:
    """A person let a held answer leave."""
    audit.append("answer_released", {"receipt": _receipt(receipt)})


def answer_refused(audit: Audit, *, receipt: str) -> None:
    """A person kept a held answer from leaving."""
    audit.append("answer_refused", {"receipt": _receipt(receipt)})


def epsilon_spent(audit: Audit, *, contract: str, subject_epsilon: float, delta: float) -> None:
    """What all studies together have spent of each subject's privacy, after a study's round."""
    # JSON has no infinity; `budget --json` says the same.
    told: Fact = "infinite" if subject_epsilon == math.inf else float(subject_epsilon)
    spent: dict[str, Fact] = {"subject_epsilon": told, "delta": float(delta)}
    audit.append("epsilon", {"contract": _digest(contract), **spent})


def study_ended(audit: Audit, *, contract: str, model: str) -> None:
    """The coordinator ended a run; `model` is the digest of the final weights, or empty."""
    ended: dict[str, Fact] = {"model": _digest(model) if model else None}
    audit.append("study_ended", {"contract": _digest(contract), **ended})


def _contract(contract: str, study: str) -> dict[str, Fact]:
    return {"contract": _digest(contract), "study": _name(study)}


def _person(by: str, note: str) -> dict[str, Fact]:
    return {"by": _printable(by), "note": _printable(note)}


def _printable(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown[:_MOST_CHARACTERS]


def _work(contract: str, work: "WorkId") -> dict[str, Fact]:
    return {
        "contract": _digest(contract),
        "study_digest": _digest(work.digest),
        "phase": work.phase,
        "round": work.round,
        "attempt": work.attempt,
    }


def _receipt(text: str) -> str:
    return _matching(_RECEIPT, text)


def _digest(text: str) -> str:
    return _matching(_DIGEST, text)


def _name(text: str) -> str:
    return _matching(_NAME, text)


def _code(text: str) -> str:
    if text not in ERROR_CODES:
        raise ValueError("an error's code is not documented")
    return text


def _matching(pattern: re.Pattern[str], text: str) -> str:
    """The text itself; a text of another kind is not even quoted."""
    if not pattern.fullmatch(text):
        raise ValueError(f"a fact of the audit is not of the form {pattern.pattern}")
    return text
