"""Whatever a request is, its refusal is in the audit, also where nothing of it could be read."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.worker.desk import Desk
from fedehr_shared.wire.payload import Payload

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

    def request(self) -> Payload:
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
