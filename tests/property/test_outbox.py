"""Whatever an answer holds: it comes back byte for byte, or it is stopped."""

import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client.contracts.admitted import Admitted
from fedehr_client.outbox.answer_check import AnswerCheck, error_code
from fedehr_client.outbox.receipt import Receipt
from fedehr_client.outbox.sealed_bytes import SealedBytes
from fedehr_client.outbox.vocabulary_check import SiteCodes
from fedehr_shared.cells import cell_of
from fedehr_shared.errors import ERROR_CODES, ContractError, WireError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import PHASES, WorkId

NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = (
    st.booleans() | NUMBERS | st.text(max_size=20) | st.lists(st.integers(-9, 9), max_size=4)
    | st.lists(st.floats(-9, 9), max_size=4) | st.lists(st.text(max_size=5), max_size=4)
)  # fmt: skip
KEYS = st.sampled_from(["site", "num_subjects", "unit", "loss", "seconds", "code"]) | st.text()
RECORDS = st.sampled_from(["report", "metrics", "codes", "labels", "error", "noise"]) | st.text()
PAYLOADS = st.builds(
    Payload,
    st.dictionaries(st.sampled_from(["update", "moments"]) | st.text(), st.binary(), max_size=3),
    st.dictionaries(RECORDS, st.dictionaries(KEYS, VALUES, max_size=5), max_size=4),
)


@settings(max_examples=100, deadline=None)
@given(payload=PAYLOADS)
def test_what_is_kept_comes_back_as_it_was(payload: Payload) -> None:
    sealed = SealedBytes.of(payload)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer"
        file.write_bytes(b"".join(sealed.parts))
        found = SealedBytes.read(file, sealed.sha256)
        assert found is not None
        assert found.payload == payload
        assert b"".join(found.parts) == file.read_bytes()
        assert SealedBytes.of(found.payload).sha256 == sealed.sha256
        assert SealedBytes.read(file, "0" * 64) is None


@settings(max_examples=60, deadline=None)
@given(payload=PAYLOADS, other=PAYLOADS)
def test_the_digest_is_of_what_is_said_and_not_of_its_order(
    payload: Payload, other: Payload
) -> None:
    turned = Payload(
        dict(reversed(payload.tensors.items())),
        {name: dict(reversed(own.items())) for name, own in reversed(payload.values.items())},
    )
    digest = SealedBytes.of(payload).sha256
    assert SealedBytes.of(turned).sha256 == digest
    is_same = SealedBytes.of(other).parts == SealedBytes.of(payload).parts
    assert (SealedBytes.of(other).sha256 == digest) == is_same


@settings(max_examples=100, deadline=None)
@given(payload=PAYLOADS, phase=st.sampled_from(PHASES))
def test_no_made_up_answer_passes(
    payload: Payload, phase: Any, make_study: Any, contract_office: Any
) -> None:
    study = make_study()
    contract = contract_office.ContractOffice(Path()).draft(study)
    work = WorkId(study.digest, phase, 1, 1)
    tokens = 0 if phase == "vocabulary" else 40
    admitted = Admitted(contract, contract.digest, study, work, "a" * 64, 7, tokens)
    check = AnswerCheck(admitted, "north", 5, SiteCodes(SiteFolder(Path("nowhere"))))
    with pytest.raises((WireError, ContractError)):
        check.check(SealedBytes.of(payload).payload)


@settings(max_examples=100, deadline=None)
@given(code=st.sampled_from(sorted(ERROR_CODES)) | st.text(), reference=st.text() | NUMBERS)
def test_an_error_is_a_code_and_hexadecimal_digits(code: str, reference: Any) -> None:
    payload = Payload(values={"error": {"code": code, "reference": reference}})
    is_told = (
        code in ERROR_CODES
        and isinstance(reference, str)
        and len(reference) == 16
        and set(reference) <= set("0123456789abcdef")
    )
    if is_told:
        assert error_code(payload) == code
    else:
        with pytest.raises(WireError):
            error_code(payload)


@settings(max_examples=100, deadline=None)
@given(text=st.text() | st.binary())
def test_a_receipt_is_one_or_an_error(text: str | bytes) -> None:
    from fedehr_shared.errors import DataError

    with pytest.raises(DataError):
        Receipt.from_json(text)


@given(asked=st.integers(2, 1_000), floor=st.integers(2, 1_000))
def test_a_cell_is_the_site_s_and_enough_for_the_study(asked: int, floor: int) -> None:
    cell = cell_of(asked, floor)
    assert cell >= max(asked, floor)
    assert cell % floor == 0
    assert cell - floor < max(asked, floor)
    assert math.gcd(cell, floor) == floor
