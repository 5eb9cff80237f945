"""An exception leaves as a code and a reference; its text does not even reach the log."""

import logging

import pytest

from fedehr_client.worker.failure import failure_of
from fedehr_shared.errors import ContractError, HeldError

RARE = "rare code of subject 4711"


def test_the_text_of_an_unforeseen_exception_goes_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    try:
        {}[RARE]
    except KeyError as error:
        payload = failure_of(error)
    assert payload.text("error", "code") == "failed"
    assert RARE not in caplog.text
    assert "4711" not in str(payload)
    assert "test_failure.py" in caplog.text, "where it comes from is told"


def test_a_reason_of_ours_is_in_the_log_beside_the_reference(
    caplog: pytest.LogCaptureFixture,
) -> None:
    payload = failure_of(ContractError("too many rounds"))
    assert payload.values == {
        "error": {"code": "contract", "reference": payload.text("error", "reference")}
    }
    assert payload.text("error", "reference") in caplog.text
    assert "too many rounds" in caplog.text
    assert failure_of(ContractError("x")) != failure_of(ContractError("x"))


def test_who_waits_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    failure_of(HeldError("waits"))
    assert [record.levelno for record in caplog.records] == [logging.INFO]


def test_what_a_request_names_cannot_look_like_a_line_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failure_of(ContractError("holds 'a\n2026-01-01 INFO study approved\x1b[2J'"))
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    assert "study approved" in caplog.text
