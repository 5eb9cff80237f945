"""Refused requests are in the audit, and no number of them fills the disk."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.audit.log import Audit
from fedehr_client.contracts import refusals
from fedehr_client.contracts.refusals import Refusals, RefusedRequest
from fedehr_shared.errors import ContractMissingError

NUM_LINES = 20


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return Audit(tmp_path / "audit.jsonl")


def lines(audit: Audit) -> list[dict[str, Any]]:
    audit.verify()
    return [json.loads(line) for line in audit.file.read_text().splitlines()]


def test_requests_that_name_another_contract_each_time_are_counted(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "_MOST_LINES", NUM_LINES)
    monkeypatch.setattr(refusals, "_AGAIN_AFTER_SECONDS", 3_600.0)
    told, error = Refusals(audit), ContractMissingError("not here")
    for number in range(5 * NUM_LINES):
        told.record(RefusedRequest("work", contract=f"{number:064x}"), error)
    found = lines(audit)
    # The flood itself is told at once, and how large it was with the next hour's first line.
    assert len(found) == NUM_LINES + 1
    assert found[-1]["kind"] == "any"
    monkeypatch.setattr(refusals, "_AGAIN_AFTER_SECONDS", 0.0)
    told.record(RefusedRequest("work", contract="e" * 64), error)
    counted, last = lines(audit)[NUM_LINES + 1 :]
    assert (counted["kind"], counted["num_repeated"]) == ("any", 4 * NUM_LINES)
    assert last["contract"] == "e" * 64


def test_of_an_unforeseen_exception_the_kind_alone_is_told(audit: Audit) -> None:
    Refusals(audit).record(RefusedRequest("work"), KeyError("code of subject 4711"))
    (line,) = lines(audit)
    assert line["code"] == "failed"
    assert "KeyError" in line["reason"]
    assert "4711" not in audit.file.read_text()
