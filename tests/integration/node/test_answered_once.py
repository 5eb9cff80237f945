"""A round is answered once: by no order of messages is a second answer to it computed."""

from typing import Any

import pytest

from fedehr_shared.wire.payload import Payload

pytestmark = pytest.mark.debian


def test_the_end_of_a_run_gives_no_round_a_second_answer(hospital: Any) -> None:
    """The end removes what was kept; asked again, the round is over."""
    hospital.approve()
    hospital.start()
    first = hospital.answer(hospital.work())
    assert "error" not in first.values, hospital.log.read_text()
    assert hospital.answer(hospital.end()).values == {"end": {"site": "hospital-1"}}
    for attempt in (1, 2):
        again: Payload = hospital.answer(hospital.work(attempt=attempt))
        assert again.values.get("error", {}).get("code") == "contract"
    receipts = list((hospital.folder.outbox / "receipts").glob("*.json"))
    assert len(receipts) == 1
