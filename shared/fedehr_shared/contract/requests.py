"""Kinds of request: a `proposal` brings a contract, `work` asks under one, an `end` closes a run.

Requests of work carry their contract's digest in `work.contract`, and the signed contract itself
in the record `contract` where the site may not have it.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from fedehr_shared.contract.signed_contract import SignedContract
from fedehr_shared.errors import WireError
from fedehr_shared.wire.payload import Payload

RequestKind = Literal["proposal", "work", "end"]
ProposalState = Literal["waiting", "approved", "refused"]
_STATES: tuple[ProposalState, ...] = get_args(ProposalState)
_KINDS: tuple[RequestKind, ...] = get_args(RequestKind)
_DIGEST_CHARACTERS = 64
CONTRACT = "contract"
"""The record of a signed contract, and the key of its digest in the record `work`."""


def kind_of(request: Payload) -> RequestKind:
    """What a request asks for.

    Raises:
        WireError: none of the three, or several.
    """
    found = [kind for kind in _KINDS if kind in request.values]
    if len(found) != 1:
        raise WireError("a request is neither proposal, work nor end. Use the same fedehr version.")
    return found[0]


def under_contract(request: Payload, digest: str, signed: SignedContract | None) -> Payload:
    """A request of work with the contract that it is asked under.

    Args:
        request: of work.
        digest: the contract's.
        signed: the contract itself, where the site may not have it.
    """
    values = {**request.values, "work": {**request.values["work"], CONTRACT: digest}}
    if signed is not None:
        values[CONTRACT] = signed.to_values()
    return replace(request, values=values)


def contract_of(request: Payload) -> tuple[str, SignedContract | None]:
    """The digest that a request of work names, and the contract where it brings it.

    Raises:
        WireError: it names none.
        ContractError: the record is no signed contract.
    """
    digest = _digest(request, "work", CONTRACT)
    signed = request.values.get(CONTRACT)
    return digest, None if signed is None else SignedContract.from_values(signed)


def without_contract(request: Payload) -> Payload:
    """A request of work as who computes it needs it."""
    values = {name: record for name, record in request.values.items() if name != CONTRACT}
    work = {key: value for key, value in values["work"].items() if key != CONTRACT}
    return replace(request, values={**values, "work": work})


@dataclass(frozen=True)
class Proposal:
    """Brings a signed contract for a person at the site to decide about; asks for no work."""

    signed: SignedContract

    def to_payload(self) -> Payload:
        """The records of `docs/protocol.md`."""
        return Payload(values={"proposal": self.signed.to_values()})

    @classmethod
    def from_payload(cls, payload: Payload) -> "Proposal":
        """Read a request.

        Raises:
            WireError: it holds other records.
            ContractError: the record is no signed contract.
        """
        _require_alone(payload, "proposal")
        return cls(SignedContract.from_values(payload.values["proposal"]))


@dataclass(frozen=True)
class ProposalAnswer:
    """What a person at a site has decided so far."""

    site: str
    state: ProposalState

    def to_payload(self) -> Payload:
        """The records of `docs/protocol.md`."""
        return Payload(values={"proposal": {"site": self.site, "state": self.state}})

    @classmethod
    def from_payload(cls, payload: Payload) -> "ProposalAnswer":
        """Read an answer.

        Raises:
            WireError: it is none.
        """
        _require_alone(payload, "proposal", {"site", "state"})
        state = payload.text("proposal", "state")
        known = next((one for one in _STATES if one == state), None)
        if known is None:
            raise WireError("a site's answer to a proposal holds a state that nobody knows.")
        return cls(payload.text("proposal", "site"), known)


@dataclass(frozen=True)
class End:
    """Tells that a run is over: what the site keeps of it for sending again may go.

    Attributes:
        contract_digest: of the contract that the run was under.
        model_digest: of the final weights; empty where the run failed before there were any.
    """

    contract_digest: str
    model_digest: str = ""

    def to_payload(self) -> Payload:
        """The records of `docs/protocol.md`."""
        return Payload(values={"end": {CONTRACT: self.contract_digest, "model": self.model_digest}})

    @classmethod
    def from_payload(cls, payload: Payload) -> "End":
        """Read a request.

        Raises:
            WireError: it is none.
        """
        _require_alone(payload, "end", {CONTRACT, "model"})
        model = payload.text("end", "model")
        return cls(
            _digest(payload, "end", CONTRACT), _digest(payload, "end", "model") if model else ""
        )


@dataclass(frozen=True)
class EndAnswer:
    """The site has heard of the end."""

    site: str

    def to_payload(self) -> Payload:
        """The records of `docs/protocol.md`."""
        return Payload(values={"end": {"site": self.site}})

    @classmethod
    def from_payload(cls, payload: Payload) -> "EndAnswer":
        """Read an answer.

        Raises:
            WireError: it is none.
        """
        _require_alone(payload, "end", {"site"})
        return cls(payload.text("end", "site"))


def _require_alone(payload: Payload, record: str, keys: set[str] | None = None) -> None:
    is_alone = set(payload.values) == {record} and not payload.tensors
    if not is_alone or (keys is not None and set(payload.values[record]) != keys):
        raise WireError(f"a message of kind '{record}' holds something else beside it.")


def _digest(payload: Payload, record: str, key: str) -> str:
    text = payload.text(record, key)
    if len(text) != _DIGEST_CHARACTERS or not set(text) <= set("0123456789abcdef"):
        raise WireError(f"{record}.{key} is no digest. Use the same fedehr version.")
    return text
