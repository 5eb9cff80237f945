"""A coordinator that asks the same for ever: outbox and audit do not grow with it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.audit.log import Audit
from fedehr_shared.contract.requests import End
from fedehr_shared.wire.payload import Payload

pytestmark = pytest.mark.debian

NUM_ASKED = 8


def _lines(folder: Path) -> list[dict[str, Any]]:
    files = sorted((folder / "sent").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_what_is_asked_again_and_again_is_counted(hospital: Any) -> None:
    hospital.approve()
    hospital.start()
    first = hospital.answer(hospital.work())
    assert "error" not in first.values, hospital.log.read_text()
    asked = {
        "nonsense": Payload(values={"x": {"y": 1}}),
        "proposal": hospital.proposal(),
        "end": hospital.end(),
        "over": hospital.work(),
        "other end": End(hospital.digest, "b" * 64).to_payload(),
    }
    codes: dict[str, set[str]] = {name: set() for name in asked}
    for _ in range(NUM_ASKED):
        for name, request in asked.items():
            answer = hospital.answer(request)
            codes[name].add(str(answer.values.get("error", {}).get("code", "")))
    assert codes == {
        "nonsense": {"wire"}, "proposal": {""}, "end": {""}, "over": {"contract"},
        "other end": {"contract"},
    }  # fmt: skip
    assert hospital.stop() == 0

    told: Counter[tuple[str, str]] = Counter()
    num_lines: Counter[tuple[str, str]] = Counter()
    for line in _lines(hospital.folder.outbox):
        kind = (line["kind"], line.get("code") or line.get("state", ""))
        told[kind] += line.get("num", 1)
        num_lines[kind] += 1
    # Each request was answered, and each answer is on the account.
    assert sum(told.values()) == 1 + NUM_ASKED * len(asked)
    assert told["answer", ""] == 1
    # The code `contract` with and without a round: two kinds. A minute or two may pass here.
    assert max(num_lines.values()) < NUM_ASKED // 2, num_lines

    audit = Audit(hospital.folder.audit_file)
    assert audit.verify().fault == ""
    events = Counter(line["event"] for line in audit.lines())
    assert events["study_ended"] == events["round_answered"] == events["round_asked"] == 1
    assert events["request_refused"] < NUM_ASKED // 2
