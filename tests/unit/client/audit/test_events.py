"""Events tell names, digests, numbers and codes, and take nothing else."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.audit import events
from fedehr_client.audit.log import Audit
from fedehr_shared.wire.work import WorkId

WORK = WorkId("a" * 64, "finetuning", 3, 2)
FACTS: dict[str, Any] = {
    "coordinator": "fedehr.example.org:443", "flwr_version": "1.41.0", "contract": "b" * 64,
    "study": "small", "work": WORK, "run_id": 2**63 + 1, "request": "c" * 64,
    "receipt": f"20261123T141500123Z-{'d' * 16}", "num_bytes": 17, "sha256": "e" * 64,
    "by": "ada", "note": "seen", "named": {"kind": "work"}, "reason": "too many", "num_repeated": 2,
    "code": "busy", "subject_epsilon": 1.5, "delta": 1e-5, "model": "f" * 64,
}  # fmt: skip
EVENTS = {
    name: function
    for name, function in inspect.getmembers(events, inspect.isfunction)
    if function.__module__ == events.__name__ and not name.startswith("_")
}


OF_PEOPLE = {"by", "note", "reason"}
"""What a person or the gate writes; no text of a message or a record comes this way."""


def _facts(function: Any) -> dict[str, Any]:
    names = list(inspect.signature(function).parameters)[1:]
    return {name: FACTS[name] for name in names}


def test_every_event_is_a_line_that_says_its_facts(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    for function in EVENTS.values():
        function(audit, **_facts(function))
    lines = list(audit.lines())
    assert len({line["event"] for line in lines}) == len(lines) == len(EVENTS) >= 18
    text = json.dumps(lines)
    for fact in ("fedehr.example.org:443", "1.41.0", "b" * 64, "busy", str(2**63 + 1), "f" * 64):
        assert fact in text
    assert audit.verify().fault == ""


@pytest.mark.parametrize("name", EVENTS)
def test_no_event_takes_a_text_of_another_kind(name: str, tmp_path: Path) -> None:
    audit, function = Audit(tmp_path / "audit.jsonl"), EVENTS[name]
    facts = _facts(function)
    for key, value in facts.items():
        texts = (
            ["Mrs Smith", "", "a" * 300, "line\nline"]
            if isinstance(value, str) and key not in OF_PEOPLE
            else []
        )
        for text in texts:
            if (key, text) in {("model", ""), ("contract", "")}:
                continue
            with pytest.raises(ValueError, match=r"audit|documented") as refused:
                function(audit, **{**facts, key: text})
            assert "Mrs" not in str(refused.value)
    assert list(audit.lines()) == []
