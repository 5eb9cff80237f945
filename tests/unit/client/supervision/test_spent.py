"""What the metrics tell of privacy spent: the ledger's figure, or none."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.ledger.ceiling import Ceiling
from fedehr_client.ledger.charge import planned_charges
from fedehr_client.ledger.ledger import Ledger
from fedehr_client.supervision.spent import SpentEpsilon

NOISY: dict[str, Any] = {
    "privacy": {"mechanism": "local", "noise_multiplier": 1.0, "target_delta": 1e-5},
}


def _wait_for(spent: SpentEpsilon, value: float | None) -> None:
    deadline = time.monotonic() + 60
    while spent.value() != value:
        assert time.monotonic() < deadline, (spent.value(), value)
        time.sleep(0.02)


def test_it_follows_the_ledger_and_the_sites_delta_and_tells_nothing_old(
    contract_office: Any,
    make_study: Callable[..., Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    office = contract_office.ContractOffice.open(tmp_path / "pki")
    node = office.node(tmp_path / "node", subject_delta=1e-4)
    work, study = node.config().site.work, make_study(**NOISY)
    spent = SpentEpsilon(node, work)
    assert spent.value() is None
    _wait_for(spent, 0.0)
    ledger = Ledger(work, Ceiling(subject_delta=1e-4), "north")
    ledger.reserve(study, planned_charges(study)[0])
    _wait_for(spent, ledger.spent())
    text = node.site_file.read_text()
    node.site_file.write_text(text.replace("0.0001", "0.00001"))
    _wait_for(spent, Ledger(work, Ceiling(subject_delta=1e-5), "north").spent())
    file = work / "privacy" / "ledger.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"round": 1', b'"round": 2'))
    _wait_for(spent, None)
    assert str(file) in caplog.text
    assert "Traceback" not in caplog.text
