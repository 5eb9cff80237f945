"""The gate: what an approved contract lets in, and what it does not; each refusal is recorded."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.audit.log import Audit
from fedehr_client.contracts.gate import ContractGate
from fedehr_client.contracts.store import ContractStore
from fedehr_client.node.folder import NodeFolder
from fedehr_shared.contract.requests import CONTRACT
from fedehr_shared.contract.signed_contract import SignedContract
from fedehr_shared.contract.study_contract import StudyContract, utc_text
from fedehr_shared.errors import (
    ContractError,
    ContractMissingError,
    FedehrError,
    NotApprovedError,
    PolicyError,
    VocabularyMissingError,
    WireError,
)

RUN = 7
PLACES = (
    ("vocabulary", 1), ("pretraining", 1), ("pretraining", 2), ("finetuning", 1),
    ("finetuning", 2), ("evaluation", 1),
)  # fmt: skip

Ask = Callable[..., Any]


def refusals(node: NodeFolder) -> list[dict[str, Any]]:
    """What the audit holds of refused requests; the chain is whole."""
    Audit(node.audit_file).verify()
    lines = map(json.loads, node.audit_file.read_text().splitlines())
    return [line for line in lines if line["event"] == "request_refused"]


class Gatekeeper:
    """A gate with a contract approved, and what it says."""

    def __init__(self, gate: ContractGate, node: NodeFolder, asked: Any, bundle: str) -> None:
        self.gate, self.node, self.asked, self.bundle = gate, node, asked, bundle

    def admits(self, phase: str, number: int = 1, run: int = RUN, **changes: Any) -> Any:
        return self.gate.admit(self.asked.request(phase, number, **changes), run, self.bundle)

    def refuses(self, kind: type[FedehrError], match: str, request: Any, run: int = RUN) -> None:
        """With that message, which the audit has too."""
        before = self.known()
        with pytest.raises(kind, match=match) as raised:
            self.gate.admit(request, run, self.bundle)
        assert type(raised.value) is kind
        last = refusals(self.node)[-1]
        assert (last["code"], last["reason"]) == (kind.code, str(raised.value)[:400])
        assert last["run"] == str(run)
        assert self.known() == before

    def known(self) -> Any:
        return ContractStore(self.node).find(self.asked.contract.digest)


@pytest.fixture
def keeper(
    gate: ContractGate, node: NodeFolder, asking: Ask, approve: Ask, bundle: str
) -> Gatekeeper:
    return Gatekeeper(gate, node, approve(asking()), bundle)


@pytest.fixture
def fresh(gate: ContractGate, node: NodeFolder, asking: Ask, bundle: str) -> Gatekeeper:
    """Of a contract that has not come yet."""
    return Gatekeeper(gate, node, asking(), bundle)


def test_a_whole_study_passes(keeper: Gatekeeper) -> None:
    for phase, number in PLACES:
        admitted = keeper.admits(phase, number)
        assert (admitted.work_id.phase, admitted.work_id.round) == (phase, number)
        keeper.gate.answered(admitted)
    assert keeper.known().num_rounds == keeper.known().num_rounds_answered == len(PLACES)


def test_the_same_is_admitted_again_and_names_the_same_content(keeper: Gatekeeper) -> None:
    keeper.admits("vocabulary")
    first = keeper.admits("pretraining")
    again = keeper.admits("pretraining", attempt=2, signed=True, vocabulary_json="")
    assert again.request_digest == first.request_digest
    other = keeper.admits("pretraining", 2)
    assert other.request_digest != first.request_digest


def test_what_comes_before_a_decision_waits(fresh: Gatekeeper) -> None:
    gate, node, asked, bundle = fresh.gate, fresh.node, fresh.asked, fresh.bundle
    fresh.refuses(ContractMissingError, "does not hold", asked.request("vocabulary"))
    with pytest.raises(NotApprovedError):
        gate.admit(asked.request("vocabulary", signed=True), RUN, bundle)
    for _ in range(20):
        with pytest.raises(NotApprovedError):
            gate.admit(asked.request("vocabulary"), RUN, bundle)
    # A coordinator that waits asks every few seconds: told once.
    assert [line["code"] for line in refusals(node)] == ["contract_missing", "not_approved"]
    ContractStore(node).approve(asked.contract.digest, "ada")
    gate.admit(asked.request("vocabulary"), RUN, bundle)


@pytest.mark.parametrize("decision", ["refuse", "revoke"])
def test_a_decision_counts_from_the_next_message(keeper: Gatekeeper, decision: str) -> None:
    admitted = keeper.admits("vocabulary")
    assert keeper.gate.why_stopped(admitted) is None
    getattr(ContractStore(keeper.node), decision)(keeper.asked.contract.digest, "ada", "enough")
    assert "ada" not in str(keeper.gate.why_stopped(admitted))
    keeper.refuses(PolicyError, f"was {decision}", keeper.asked.request("vocabulary"))
    keeper.refuses(PolicyError, f"was {decision}", keeper.asked.request("pretraining"))
    ContractStore(keeper.node).approve(keeper.asked.contract.digest, "ada")
    keeper.admits("pretraining")


def test_a_request_without_a_contract_is_refused(keeper: Gatekeeper) -> None:
    bare = keeper.asked.work("vocabulary").to_payload()
    keeper.refuses(ContractError, "names no contract", bare)


def test_a_study_altered_after_its_approval(keeper: Gatekeeper, asking: Ask) -> None:
    """Another digest; the same digest with other bytes; the contract of another study."""
    request = keeper.asked.request("vocabulary")
    other = asking({"seed": 5})

    def with_work(**changes: str) -> Any:
        return replace(request, values={"work": {**request.values["work"], **changes}})

    keeper.refuses(
        ContractError,
        "the request is of study",
        with_work(work_id=f"{other.contract.study.digest}/vocabulary/1/1",
                  study=other.contract.study.to_json()),
    )  # fmt: skip
    text = keeper.asked.contract.study.to_json()
    keeper.refuses(ContractError, "same digest", with_work(study=text.replace(",", ", ", 1)))
    keeper.refuses(ContractError, "same digest", with_work(study=other.contract.study.to_json()))
    keeper.refuses(ContractMissingError, "does not hold", with_work(contract="e" * 64))
    ContractStore(keeper.node).receive(other.signed)
    ContractStore(keeper.node).approve(other.contract.digest, "ada")
    keeper.refuses(
        ContractError, "the request is of study", with_work(contract=other.contract.digest)
    )
    brought = {**request.values, CONTRACT: other.signed.to_values()}
    keeper.refuses(ContractError, "another contract than", replace(request, values=brought))


def test_another_bundle(keeper: Gatekeeper) -> None:
    keeper.bundle = "c" * 64
    keeper.refuses(ContractError, "neither unpacked nor kept", keeper.asked.request("vocabulary"))


def test_a_signature_is_looked_at_with_every_message(
    keeper: Gatekeeper, contract_office: Any, tmp_path: Path
) -> None:
    """Another authority; a text changed in the file, whose signature then is of another."""
    stranger = contract_office.ContractOffice.open(tmp_path / "stranger")
    own = (keeper.node.path / "ca.crt").read_bytes()
    (keeper.node.path / "ca.crt").write_bytes(stranger.authority.read_bytes())
    keeper.refuses(ContractError, "not certified", keeper.asked.request("vocabulary"))
    (keeper.node.path / "ca.crt").write_bytes(own)
    keeper.admits("vocabulary")


def test_signed_by_whom_the_authority_does_not_know(
    fresh: Gatekeeper, contract_office: Any, tmp_path: Path
) -> None:
    asked = fresh.asked
    stranger = contract_office.ContractOffice.open(tmp_path / "stranger")
    forged = replace(asked, signed=stranger.sign_text(asked.signed.text))
    fresh.refuses(ContractError, "not certified", forged.request("vocabulary", signed=True))
    changed = replace(asked.signed, text=asked.signed.text.replace('"num_runs":1', '"num_runs":9'))
    digest = StudyContract.from_json(changed.text).digest
    altered = replace(
        asked, signed=changed, contract=StudyContract.from_json(changed.text)
    ).request("vocabulary", signed=True)
    fresh.refuses(ContractError, "signature is not", altered)
    assert ContractStore(fresh.node).find(digest) is None
    assert ContractStore(fresh.node).all() == []


def _days(number: float) -> str:
    return utc_text(datetime.now(UTC) + timedelta(days=number))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"sites": ("east", "west")}, "'north' is none of them"),
        ({"fedehr_version": "0.0.1"}, "Both ends need the same version"),
        ({"flwr_version": "1.2.3"}, "for flwr 1.2.3"),
        ({"created": _days(-9), "deadline": _days(-1)}, "ended at"),
        ({"created": _days(2)}, "to come"),
        ({"max_weight": 5.0}, "max_weight"),
        ({"max_run_bytes": 10}, "bytes are not those"),
        ({"subject_epsilon": 0.5, "subject_delta": 1e-6}, "subject_epsilon"),
        ({"tensors": {}}, "bytes are not those|tensors of"),
    ],
)
def test_a_contract_that_does_not_hold_here_is_not_even_kept(
    fresh: Gatekeeper, office: Any, changes: dict[str, Any], match: str
) -> None:
    signed: SignedContract = office.sign(fresh.asked.contract.study, **changes)
    asked = replace(fresh.asked, signed=signed)
    fresh.refuses(ContractError, match, asked.request("vocabulary", signed=True))
    assert list(fresh.node.contracts.glob("*.json")) == []


def test_a_contract_that_ends_while_it_is_used(
    keeper: Gatekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    admitted = keeper.admits("vocabulary")

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(days=31)

    monkeypatch.setattr("fedehr_client.contracts.store.datetime", Later)
    monkeypatch.setattr("fedehr_client.contracts.gate.datetime", Later)
    keeper.refuses(ContractError, "ended at", keeper.asked.request("pretraining"))
    assert "ended at" in str(keeper.gate.why_stopped(admitted))


def test_one_run_alone(keeper: Gatekeeper) -> None:
    keeper.admits("vocabulary")
    keeper.refuses(ContractError, "one more than the 1", keeper.asked.request("vocabulary"), 8)
    keeper.refuses(ContractError, "one more than the 1", keeper.asked.request("pretraining"), 8)
    keeper.admits("pretraining")


def test_a_second_run_where_the_contract_has_two(
    gate: ContractGate, node: NodeFolder, asking: Ask, approve: Ask, bundle: str
) -> None:
    keeper = Gatekeeper(gate, node, approve(asking(num_runs=2)), bundle)
    keeper.admits("vocabulary")
    keeper.admits("pretraining")
    keeper.refuses(VocabularyMissingError, "yet", keeper.asked.request(
        "pretraining", 2, vocabulary_json=""), 8)  # fmt: skip
    keeper.admits("pretraining", 2, run=8)
    keeper.refuses(ContractError, "is over", keeper.asked.request("finetuning"))
    keeper.refuses(ContractError, "one more than the 2", keeper.asked.request("vocabulary"), 9)


def test_the_order_of_a_run(keeper: Gatekeeper) -> None:
    asked = keeper.asked
    keeper.refuses(ContractError, "begins with pretraining", asked.request("pretraining"))
    keeper.admits("vocabulary")
    keeper.admits("pretraining", 2)
    keeper.refuses(ContractError, "does not go back", asked.request("pretraining", 1))
    keeper.refuses(ContractError, "does not go back", asked.request("vocabulary"))
    keeper.refuses(ContractError, "has 2", asked.request("pretraining", 3))
    keeper.admits("evaluation")
    keeper.refuses(ContractError, "does not go back", asked.request("finetuning", 2))


def test_one_content_a_round(keeper: Gatekeeper) -> None:
    keeper.admits("vocabulary")
    keeper.admits("pretraining")
    asked = keeper.asked
    keeper.refuses(ContractError, "another content", asked.request("pretraining", fill=0.25))
    # Also after a restart of the worker, whatever it had in memory.
    keeper.gate = ContractGate(keeper.node, bytes_since=lambda time: 0)
    keeper.refuses(ContractError, "another content", asked.request("pretraining", fill=0.25))
    keeper.admits("pretraining", attempt=3)


def test_one_vocabulary_a_run(keeper: Gatekeeper) -> None:
    from fedehr_shared.vocabulary.vocabulary import Vocabulary

    keeper.admits("vocabulary")
    keeper.admits("pretraining")
    other = Vocabulary(tuple(f"OTHER//{number}" for number in range(20)), (None,) * 20, 4)
    changed = keeper.asked.request(
        "pretraining", 2, vocabulary_digest=other.digest, vocabulary_json=other.to_json()
    )
    keeper.refuses(ContractError, "changed its vocabulary", changed)
    lying = keeper.asked.request("pretraining", 2, vocabulary_json=other.to_json())
    keeper.refuses(ContractError, "not the one that its digest names", lying)
    large = Vocabulary(tuple(f"C//{number}" for number in range(6_000)), (None,) * 6_000, 0)
    too_large = keeper.asked.request(
        "pretraining", 2, vocabulary_digest=large.digest, vocabulary_json=large.to_json()
    )
    keeper.refuses(ContractError, "6,004 tokens", too_large)


def test_a_base_is_named_where_there_is_one(
    gate: ContractGate, node: NodeFolder, asking: Ask, approve: Ask, bundle: str
) -> None:
    keeper = Gatekeeper(gate, node, approve(asking({"finetuning": {"tuning": "probe"}})), bundle)
    keeper.admits("vocabulary")
    named = keeper.asked.request("pretraining", base_digest="d" * 64)
    keeper.refuses(ContractError, "the study's model has not", named)
    keeper.refuses(
        ContractError, "or lacks one", keeper.asked.request("finetuning", base_digest="")
    )
    keeper.admits("finetuning")
    # Sent again without it, or with it: the same content.
    keeper.admits("finetuning", attempt=2, base=None)
    other = keeper.asked.request("finetuning", base_digest="e" * 64)
    keeper.refuses(ContractError, "another content", other)


def test_attempts_end(keeper: Gatekeeper) -> None:
    asked = keeper.asked
    keeper.refuses(ContractError, "the contract has 3", asked.request("vocabulary", attempt=4))
    first = keeper.admits("vocabulary")
    keeper.admits("vocabulary")
    keeper.gate.failed(first)
    keeper.refuses(ContractError, "used up", asked.request("vocabulary"))
    keeper.gate.failed(keeper.admits("vocabulary", attempt=2))
    keeper.gate.failed(keeper.admits("vocabulary", attempt=3))
    for attempt in (1, 2, 3):
        keeper.refuses(ContractError, "used up", asked.request("vocabulary", attempt=attempt))
    keeper.admits("pretraining")


def test_what_no_request_holds(keeper: Gatekeeper) -> None:
    request = keeper.asked.request("vocabulary")
    values = request.values
    for altered, match in [
        (replace(request, tensors={"run": b"x"}), "'run'"),
        (replace(request, values={**values, "code": {"python": "1"}}), "'code'"),
        (replace(request, values={"work": {**values["work"], "path": "/etc"}}), "'work.path'"),
        (replace(request, values={**values, "tasks": {"weights": [1.0]}}), "tells of tasks"),
        (replace(request, tensors={"model": b"x"}), "brings 'model'"),
        (replace(request, values={"work": {**values["work"], "base_digest": "e" * 64}}), "before"),
    ]:
        keeper.refuses(ContractError, match, altered)
    malformed = replace(request, values={"work": {**values["work"], "work_id": "1"}})
    keeper.refuses(WireError, "no valid work id", malformed)
    assert refusals(keeper.node)[-1]["work"] == ""


def test_a_damaged_file_lets_nothing_in(keeper: Gatekeeper) -> None:
    keeper.admits("vocabulary")
    file = next(keeper.node.contracts.glob("*.json"))
    whole = file.read_text()
    for content in ("", "{}", whole[:-40], whole.replace('"round": 1', '"round": "1"'), "[]"):
        file.write_text(content)
        with pytest.raises(FedehrError, match="damaged"):
            keeper.admits("pretraining")
        assert refusals(keeper.node)[-1]["code"] == "data"
    file.write_text(whole)
    keeper.admits("pretraining")
