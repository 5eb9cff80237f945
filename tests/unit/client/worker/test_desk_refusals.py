"""Whatever a request is, its refusal is in the audit, also where nothing of it could be read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.audit.log import Audit
from fedehr_client.contracts.store import ContractStore
from fedehr_client.engine.incoming import Room
from fedehr_client.worker.desk import Desk
from fedehr_shared.contract.requests import Proposal, under_contract
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import Work, WorkId

ODD = {
    "unknown": Payload(values={"x": {}}),
    "proposal": Payload(values={"proposal": {"text": "{}"}}),
    "end": Payload(values={"end": {"contract": "x"}}),
    "work": Payload(values={"work": {"work_id": 1}}),
}


class Asked:
    """A task whose request has arrived."""

    run_id, bundle_sha256 = 11, "b" * 64

    def __init__(self, request: Payload) -> None:
        self._request = request

    def request(self, room: Room) -> Payload:
        values = Payload(values=self._request.values)
        self.num_bytes_allowed = room(values)
        return self._request


@pytest.mark.parametrize("kind", ODD)
def test_a_request_that_nobody_sends_is_refused_and_recorded(
    contract_office: Any, tmp_path: Path, kind: str
) -> None:
    office = contract_office.ContractOffice.open(tmp_path / "pki")
    node = office.node(tmp_path / "node")
    desk = Desk(node, lambda: None)
    asked: Any = Asked(ODD[kind])
    code = desk.answer(asked).error_code
    desk.close()
    (line,) = map(json.loads, node.audit_file.read_text().splitlines())
    assert (line["event"], line["kind"], line["code"]) == ("request_refused", kind, code)
    assert line["run"] == "11"


def test_no_tensors_are_read_before_somebody_has_approved(
    contract_office: Any, make_study: Callable[..., Any], tmp_path: Path
) -> None:
    office = contract_office.ContractOffice.open(tmp_path / "pki")
    node = office.node(tmp_path / "node")
    study = make_study()
    signed = office.sign(study)
    digest = StudyContract.from_json(signed.text).digest
    work = Work(WorkId(study.digest, "pretraining", 1, 1), study).to_payload()
    desk = Desk(node, lambda: None)

    def ask(request: Payload) -> Any:
        asked: Any = Asked(request)
        return desk.answer(asked).error_code, getattr(asked, "num_bytes_allowed", None)

    assert ask(under_contract(work, digest, None)) == ("contract_missing", None)
    assert ask(under_contract(work, digest, signed)) == ("not_approved", None)
    assert ask(Proposal(signed).to_payload()) == ("", 0)
    ContractStore(node).approve(digest, "ada")
    assert ask(under_contract(work, digest, None))[1] > 100_000
    ContractStore(node).revoke(digest, "ada")
    assert ask(under_contract(work, digest, None)) == ("policy", None)
    desk.close()


def test_a_disk_without_room_is_told_as_such_until_there_is_some(
    contract_office: Any,
    make_study: Callable[..., Any],
    tmp_path: Path,
    small_disk: Callable[[int], Path],
    fill_disk: Callable[..., Path],
) -> None:
    """Neither contract nor audit can be written: nothing is decided, and nothing used up."""
    office = contract_office.ContractOffice.open(tmp_path / "pki")
    disk = small_disk(2 * 2**20)
    node = office.node(disk / "node")
    study = make_study()
    signed = office.sign(study)
    digest = StudyContract.from_json(signed.text).digest
    ContractStore(node).receive(signed)
    ContractStore(node).approve(digest, "ada")
    work = Work(WorkId(study.digest, "pretraining", 1, 1), study).to_payload()
    desk = Desk(node, lambda: None)

    def code_of(request: Payload) -> str:
        asked: Any = Asked(request)
        return desk.answer(asked).error_code

    before = ContractStore(node).find(digest)
    filler = fill_disk(disk, left=0)
    asked = [
        under_contract(work, digest, None),
        Proposal(office.sign(make_study(seed=2))).to_payload(),
    ]
    assert [code_of(request) for request in asked * 2] == ["storage"] * 4
    assert ContractStore(node).find(digest) == before
    filler.unlink()
    assert [code_of(request) for request in asked] == ["contract", ""]
    desk.close()
    assert Audit(node.audit_file).verify().fault == ""
