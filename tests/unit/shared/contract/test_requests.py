"""Kinds of request: each is read as what it is, and as nothing else."""

from typing import Any

import pytest

from fedehr_shared.contract.requests import (
    End,
    EndAnswer,
    Proposal,
    ProposalAnswer,
    contract_of,
    kind_of,
    under_contract,
    without_contract,
)
from fedehr_shared.contract.signed_contract import SignedContract
from fedehr_shared.errors import FedehrError, WireError
from fedehr_shared.wire.payload import Payload

DIGEST = "ab" * 32
SIGNED = SignedContract("{}", "00", "PEM")
WORK = Payload({"model": b"x"}, {"work": {"work_id": "w", "study": "s"}, "tasks": {"a": 1.0}})


def test_each_kind_is_known_and_read_back() -> None:
    assert kind_of(Proposal(SIGNED).to_payload()) == "proposal"
    assert kind_of(WORK) == kind_of(under_contract(WORK, DIGEST, SIGNED)) == "work"
    assert kind_of(End(DIGEST).to_payload()) == "end"
    assert Proposal.from_payload(Proposal(SIGNED).to_payload()) == Proposal(SIGNED)
    for end in (End(DIGEST), End(DIGEST, DIGEST)):
        assert End.from_payload(end.to_payload()) == end
    answer = ProposalAnswer("a", "approved")
    assert ProposalAnswer.from_payload(answer.to_payload()) == answer
    assert EndAnswer.from_payload(EndAnswer("a").to_payload()) == EndAnswer("a")


@pytest.mark.parametrize("signed", [None, SIGNED])
def test_a_contract_is_put_on_a_request_and_taken_off_again(signed: Any) -> None:
    request = under_contract(WORK, DIGEST, signed)
    assert contract_of(request) == (DIGEST, signed)
    assert without_contract(request) == WORK
    assert "contract" not in WORK.values["work"]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"else": {}},
        {"work": {}, "end": {}},
        {"proposal": {}, "work": {}},
    ],
)
def test_what_is_of_no_kind_or_of_two_is_refused(values: Any) -> None:
    with pytest.raises(WireError):
        kind_of(Payload(values=values))


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Proposal, Payload({"model": b""}, {"proposal": SIGNED.to_values()})),
        (Proposal, Payload(values={"proposal": SIGNED.to_values(), "work": {}})),
        (Proposal, Payload(values={"proposal": {**SIGNED.to_values(), "more": "x"}})),
        (Proposal, Payload(values={"proposal": {**SIGNED.to_values(), "text": 1}})),
        (End, Payload(values={"end": {"contract": DIGEST}})),
        (End, Payload(values={"end": {"contract": "../../etc", "model": ""}})),
        (End, Payload(values={"end": {"contract": DIGEST.upper(), "model": ""}})),
        (End, Payload(values={"end": {"contract": DIGEST, "model": "x"}})),
        (ProposalAnswer, Payload(values={"proposal": {"site": "a", "state": "maybe"}})),
        (ProposalAnswer, Payload(values={"proposal": {"site": 1, "state": "waiting"}})),
        (EndAnswer, Payload(values={"end": {"site": "a", "num_subjects": 3}})),
    ],
)
def test_what_holds_something_else_is_refused(kind: Any, payload: Payload) -> None:
    with pytest.raises(FedehrError):
        kind.from_payload(payload)


def test_work_without_a_contract_names_none() -> None:
    with pytest.raises(WireError):
        contract_of(WORK)
