"""A proposal's round trip: each site's state, and none of its answers is believed too far."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedehr_server.node_register import NodeRegister
from fedehr_server.proposing import propose_to_nodes
from fedehr_server.rounds.agreement import Agreement
from fedehr_shared.contract.requests import Proposal, ProposalAnswer
from fedehr_shared.errors import ContractError, DataError
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import ErrorReport

Make = Callable[..., Any]


@pytest.fixture
def agreement(draft: Make, keys: Any, register: Path) -> Agreement:
    contract = draft()
    return Agreement(contract, keys.sign(contract.to_json()), NodeRegister(register))


def _propose(agreement: Agreement, nodes: Any, folder: Path) -> dict[str, Any]:
    result = propose_to_nodes(agreement, nodes, folder, seconds=0.3, settling_seconds=0.05)
    assert json.loads((folder / "result.json").read_text()) == result
    assert result["status"] == "completed"
    states: dict[str, Any] = result["states"]
    return states


def test_each_site_says_what_it_has_decided(
    agreement: Agreement, make_nodes: Make, tmp_path: Path
) -> None:
    def decide(node: int, kind: str, request: Payload, answer: Payload | None) -> Any:
        assert Proposal.from_payload(request).signed == agreement.signed
        state: Any = ("approved", "refused", "waiting")[node]
        return ProposalAnswer(f"hospital-{node + 1}", state).to_payload()

    expected = {"hospital-1": "approved", "hospital-2": "refused", "hospital-3": "waiting"}
    for number in range(2):
        nodes = make_nodes(decide)
        assert _propose(agreement, nodes, tmp_path / f"run-{number}") == expected
        assert len(nodes.requests) == 3


def test_who_is_away_silent_or_odd_is_told_so(
    agreement: Agreement, make_nodes: Make, tmp_path: Path
) -> None:
    def lapse(node: int, kind: str, request: Payload, answer: Payload | None) -> Any:
        return None if node == 0 else ErrorReport("contract", "r").to_payload()

    nodes = make_nodes(lapse, online=frozenset({0, 1, 5}))
    assert _propose(agreement, nodes, tmp_path / "run") == {
        "hospital-1": "no answer", "hospital-2": "contract", "hospital-3": "offline",
    }  # fmt: skip
    # A node that nobody registered is shown nothing.
    assert {node for node, _ in nodes.requests} == {0, 1}


@pytest.mark.parametrize(
    "answer",
    [
        ProposalAnswer("hospital-3", "approved").to_payload(),
        ProposalAnswer("nobody", "approved").to_payload(),
        Payload(values={"proposal": {"site": "hospital-1", "state": "sure"}}),
        Payload({"update": b"x"}, {"proposal": {"site": "hospital-1", "state": "approved"}}),
        Payload(),
    ],
)
def test_no_site_approves_for_another_or_in_other_words(
    agreement: Agreement, make_nodes: Make, tmp_path: Path, answer: Payload
) -> None:
    def pose(node: int, kind: str, request: Payload, usual: Payload | None) -> Any:
        return answer if node == 0 else usual

    states = _propose(agreement, make_nodes(pose), tmp_path / "run")
    assert states.pop("hospital-1") in {"contract", "wire"}
    assert states == {"hospital-2": "waiting", "hospital-3": "waiting"}


def test_it_needs_a_contract_and_a_new_folder(
    agreement: Agreement, make_nodes: Make, tmp_path: Path
) -> None:
    with pytest.raises(ContractError):
        propose_to_nodes(Agreement(), make_nodes(), tmp_path / "run")
    with pytest.raises(DataError):
        propose_to_nodes(agreement, make_nodes(), tmp_path)
