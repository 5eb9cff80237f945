"""`propose_to_nodes`: a run that brings a contract to the nodes and asks for no work."""

import time
from pathlib import Path
from typing import Any

from fedehr_server.progress import ProgressLog, write_json
from fedehr_server.rounds.agreement import Agreement
from fedehr_server.transport import Absence, Transport
from fedehr_shared.contract.requests import Proposal, ProposalAnswer
from fedehr_shared.errors import ContractError, DataError, WireError
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import ErrorReport

SECONDS = 60.0
"""To wait for the answers of nodes that are connected."""
SETTLING_SECONDS = 5.0
"""A node that has just connected is still found."""
OFFLINE, SILENT = "offline", "no answer"


def propose_to_nodes(
    agreement: Agreement,
    transport: Transport,
    folder: Path,
    seconds: float = SECONDS,
    settling_seconds: float = SETTLING_SECONDS,
) -> dict[str, Any]:
    """Send the proposal to each site's node and write `result.json`, with each site's state.

    A site's state is `waiting`, `approved` or `refused`; `offline` where its node is not
    connected, `no answer`, or the code of its error.

    Args:
        agreement: with a contract.
        transport: reaches the nodes.
        folder: new; named after the run.
        seconds: to wait for the answers.
        settling_seconds: to look for nodes that connect.

    Raises:
        ContractError: the agreement has no contract.
        DataError: `folder` exists already.
    """
    if agreement.contract is None or agreement.signed is None:
        raise ContractError("a proposal needs a contract. Use `fedehr-server propose`.")
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise DataError(f"{folder} exists already. Name a new run.") from error
    log = ProgressLog(folder)
    round_trip = _RoundTrip(agreement, transport, Proposal(agreement.signed).to_payload(), log)
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        round_trip.step()
        if round_trip.is_done and time.monotonic() - began >= settling_seconds:
            break
        if round_trip.has_all:
            break
        transport.wait()
    result = {
        "status": "completed",
        "code": "ok",
        "exit_code": 0,
        "message": "",
        "study_digest": agreement.contract.study.digest,
        "contract": agreement.digest,
        "states": round_trip.states(),
        "seconds": round(log.seconds, 3),
    }
    log.write("end", status="completed", code="ok")
    write_json(folder / "result.json", result)
    return result


class _RoundTrip:
    """Who was asked, and what each answered."""

    def __init__(
        self, agreement: Agreement, transport: Transport, request: Payload, log: ProgressLog
    ) -> None:
        self._agreement = agreement
        self._sites = () if agreement.contract is None else agreement.contract.sites
        self._transport = transport
        self._request = request
        self._log = log
        self._asked: set[int] = set()
        self._answered: set[int] = set()
        self._states: dict[str, str] = {}

    @property
    def is_done(self) -> bool:
        """Whether all that were asked have answered."""
        return self._asked == self._answered

    @property
    def has_all(self) -> bool:
        """Whether there is an answer of each site of the contract."""
        return self._states.keys() >= set(self._sites)

    def step(self) -> None:
        """Ask whoever is new, and take what has come."""
        for node in sorted(self._transport.nodes() - self._asked):
            if self._agreement.may_ask(node):
                self._transport.push(node, self._request)
                self._asked.add(node)
                self._log.write("asked", site=self._agreement.name_of(node) or f"node {node}")
        for node, payload in self._transport.pull():
            self._answered.add(node)
            name, state = self._read(node, payload)
            self._states[name] = state
            self._log.write("proposal", site=name, state=state)

    def states(self) -> dict[str, str]:
        """By site of the contract, in the order of their names."""
        silent = {self._agreement.name_of(node) for node in self._asked - self._answered}
        missing = {site: SILENT if site in silent else OFFLINE for site in self._sites}
        return dict(sorted({**missing, **self._states}.items()))

    def _read(self, node: int, payload: Payload | Absence | None) -> tuple[str, str]:
        name = self._agreement.name_of(node) or f"node {node}"
        if not isinstance(payload, Payload):
            return name, "network"
        try:
            if "error" in payload.values:
                return name, ErrorReport.from_payload(payload).code
            answer = ProposalAnswer.from_payload(payload)
            self._agreement.require_name(node, answer.site)
        except (WireError, ContractError) as error:
            self._log.write("site_error", site=name, code=error.code, reason=str(error))
            return name, error.code
        return answer.site, answer.state
