"""A contract is believed only as the coordinator's signer signed it, whole, and in its time."""

import base64
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedehr_shared.contract.signed_contract import SignedContract, signed_bytes
from fedehr_shared.contract.signer_certificate import SIGNS_CONTRACTS
from fedehr_shared.contract.study_contract import CLOCK_SKEW
from fedehr_shared.errors import ContractError

Draft = Callable[..., Any]
NUM_CHANGES = 400


@pytest.fixture(scope="module")
def signed(draft: Draft, keys: Any) -> SignedContract:
    return keys.sign(draft().to_json())


def test_what_was_signed_is_what_is_read(
    draft: Draft, keys: Any, signed: SignedContract, now: datetime
) -> None:
    assert signed.verify(keys.authority, now) == draft()
    assert SignedContract.from_values(signed.to_values()) == signed
    assert SignedContract.from_json(signed.to_json()) == signed


def test_any_changed_byte_is_refused(signed: SignedContract, keys: Any, now: datetime) -> None:
    draws = random.Random(7)
    for _ in range(NUM_CHANGES):
        values = dict(signed.to_values())
        key = draws.choice(sorted(values))
        text = str(values[key])
        place = draws.randrange(len(text))
        byte = chr(draws.choice([c for c in range(32, 127) if chr(c) != text[place]]))
        values[key] = text[:place] + byte + text[place + 1 :]
        changed = SignedContract.from_values(values)
        # Hexadecimal in capitals is the same signature; PEM may have words around it.
        if key == "signature" and byte.lower() == text[place]:
            continue
        if key == "certificate" and _same_certificate(str(values[key]), text):
            continue
        with pytest.raises(ContractError):
            changed.verify(keys.authority, now)


def _same_certificate(one: str, other: str) -> bool:
    try:
        return x509.load_pem_x509_certificate(one.encode()) == x509.load_pem_x509_certificate(
            other.encode()
        )
    except ValueError:
        return False


def test_another_spelling_of_the_same_contract_is_refused_though_it_is_signed(
    draft: Draft, keys: Any, now: datetime
) -> None:
    text = draft().to_json()
    values = json.loads(text)
    backwards = dict(reversed(list(values.items())))
    spellings = [
        json.dumps(values, sort_keys=True),
        json.dumps(backwards, separators=(",", ":")),
        text.replace('"max_weight":10000.0', '"max_weight":10000'),
        text.replace('"max_weight":10000.0', '"max_weight":1e4'),
        text.replace('"format":1', '"format":1.0'),
        text.replace('{"bundle', '{"num_runs":1,"bundle'),
        text.replace("alpha", "\\u0061lpha"),
        text + "\n",
    ]
    assert len(set(spellings) - {text}) == len(spellings)
    for spelling in spellings:
        with pytest.raises(ContractError):
            keys.sign(spelling).verify(keys.authority, now)


def test_no_other_certificate_of_the_coordinator_signs_contracts(
    draft: Draft, keys: Any, now: datetime
) -> None:
    text = draft().to_json()
    for name in ("server", "ca"):
        borrowed = keys.sign(text, certificate=(keys.folder / f"{name}.crt").read_text())
        with pytest.raises(ContractError, match=r"not for signing|not certified"):
            borrowed.verify(keys.authority, now)


def test_another_coordinator_s_signer_is_refused(
    draft: Draft, keys: Any, other_keys: Any, now: datetime
) -> None:
    theirs = other_keys.sign(draft().to_json())
    assert theirs.verify(other_keys.authority, now)
    with pytest.raises(ContractError, match="not certified"):
        theirs.verify(keys.authority, now)


def _certificate(keys: Any, usage: list[str] | None, *, critical: bool = True) -> tuple[str, Any]:
    """A certificate of the right authority, for some purposes."""
    authority = x509.load_pem_x509_certificate(keys.authority)
    issuer = serialization.load_pem_private_key((keys.folder / "ca.key").read_bytes(), None)
    key = ed25519.Ed25519PrivateKey.generate()
    start = datetime.now(UTC) - timedelta(days=1)
    draft = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if usage is not None:
        purposes = x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid) for oid in usage])
        draft = draft.add_extension(purposes, critical=critical)
    made = draft.sign(issuer, hashes.SHA256())  # type: ignore[arg-type]
    return made.public_bytes(serialization.Encoding.PEM).decode(), key


@pytest.mark.parametrize(
    ("usage", "critical", "is_good"),
    [
        ([SIGNS_CONTRACTS], True, True),
        ([SIGNS_CONTRACTS], False, False),
        (None, True, False),
        ([ExtendedKeyUsageOID.SERVER_AUTH.dotted_string], True, False),
        ([SIGNS_CONTRACTS, ExtendedKeyUsageOID.SERVER_AUTH.dotted_string], True, False),
        (["2.5.29.37.0"], True, False),
    ],
)
def test_a_certificate_must_be_for_this_alone(
    draft: Draft, keys: Any, usage: Any, critical: bool, is_good: bool
) -> None:
    now = datetime.now(UTC)
    pem, key = _certificate(keys, usage, critical=critical)
    text = draft().to_json()
    signed = SignedContract(text, key.sign(signed_bytes(text)).hex(), pem)
    if is_good:
        assert signed.verify(keys.authority, now)
    else:
        with pytest.raises(ContractError, match="not for signing"):
            signed.verify(keys.authority, now)


def test_a_signature_of_the_bare_text_is_none_of_a_contract(
    draft: Draft, keys: Any, now: datetime
) -> None:
    key: Any = serialization.load_pem_private_key((keys.folder / "signer.key").read_bytes(), None)
    text = draft().to_json()
    bare = SignedContract(text, key.sign(text.encode()).hex(), keys.sign(text).certificate)
    with pytest.raises(ContractError, match="signature"):
        bare.verify(keys.authority, now)


def test_clocks_may_differ_a_little_and_the_error_tells_this_machine_s(
    draft: Draft, keys: Any, signed: SignedContract, now: datetime
) -> None:
    second = timedelta(seconds=1)
    deadline = draft().deadline_time
    for good in (now - CLOCK_SKEW, deadline + CLOCK_SKEW):
        assert signed.verify(keys.authority, good)
    for bad in (now - CLOCK_SKEW - second, deadline + CLOCK_SKEW + second):
        with pytest.raises(ContractError, match=bad.strftime("%Y-%m-%dT%H:%M:%SZ")):
            signed.verify(keys.authority, bad)
    far = now + timedelta(days=900)
    with pytest.raises(ContractError, match="signer's certificate is valid from"):
        signed.verify(keys.authority, far)


@pytest.mark.parametrize(
    "changes",
    [
        {"subject_epsilon": 0.5, "subject_delta": 1e-5},
        {"max_update_norm": 1.0},
        {"max_weight": 9_999.0},
        {"columns": ("data.time",)},
        {"rounds": {"vocabulary": 1, "pretraining": 1, "finetuning": 2, "evaluation": 1}},
        {"max_run_bytes": 1},
        {"max_answer_bytes": {"vocabulary": 10**9}},
        {"max_tokens": 999},
    ],
)
def test_a_contract_cannot_state_other_terms_than_its_study_s(
    draft: Draft, keys: Any, now: datetime, changes: dict[str, Any]
) -> None:
    stated = draft(**changes)
    with pytest.raises(ContractError, match="refused"):
        keys.sign(stated.to_json()).verify(keys.authority, now)


def test_a_contract_of_another_version_says_so(draft: Draft, keys: Any, now: datetime) -> None:
    text = draft(fedehr_version="9.9.9").to_json()
    with pytest.raises(ContractError, match=r"9\.9\.9"):
        keys.sign(text).verify(keys.authority, now)


def test_weights_beyond_all_bounds_cannot_be_agreed(draft: Draft) -> None:
    with pytest.raises(ValueError, match="max_weight"):
        draft(max_weight=1e5)


@pytest.mark.parametrize(
    "changes",
    [
        {"sites": ("beta", "alpha")},
        {"sites": ("alpha", "alpha")},
        {"sites": ()},
        {"sites": ("alpha",)},
        {"deadline": "2020-01-01T00:00:00Z"},
        {"created": "2026-02-30T00:00:00Z"},
        {"created": "2026-11-23T14:00:00+00:00"},
        {"num_runs": 0},
        {"bundle_sha256": "A" * 64},
        {"extra": 1},
    ],
)
def test_what_does_not_hold_together_is_no_contract(draft: Draft, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's, of any wording
        draft(**changes)


@pytest.mark.parametrize(
    "file",
    ["", "[]", "{}", "{" * 100_000, '{"text": 1, "signature": "", "certificate": ""}', "\x00"],
)
def test_a_strange_file_is_refused_in_words(file: str) -> None:
    with pytest.raises(ContractError):
        SignedContract.from_json(file)


def test_strange_texts_are_refused_in_words(keys: Any, now: datetime) -> None:
    for text in ("", "[]", "{}", "null", "[" * 100_000, "\ud800", '{"format":NaN}'):
        strange = SignedContract(text, "00" * 64, "\ud800 no certificate")
        with pytest.raises(ContractError):
            strange.verify(keys.authority, now)
        if text != "\ud800":
            with pytest.raises(ContractError):
                keys.sign(text).verify(keys.authority, now)


def test_a_certificate_that_nobody_issued_is_refused_in_words_whatever_its_bytes(
    signed: SignedContract, keys: Any, now: datetime
) -> None:
    """Also one whose version number is none, which its reader tells in its own way."""
    whole = x509.load_pem_x509_certificate(signed.certificate.encode())
    content = whole.public_bytes(serialization.Encoding.DER)
    version = content.index(b"\xa0\x03\x02\x01\x02") + 4
    for number in (3, 78, 255):
        changed = content[:version] + bytes([number]) + content[version + 1 :]
        text = base64.encodebytes(changed).decode()
        pem = f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"
        with pytest.raises(ContractError):
            SignedContract(signed.text, signed.signature, pem).verify(keys.authority, now)


def test_the_last_day_of_all_is_a_deadline_like_others(
    draft: Draft, keys: Any, now: datetime
) -> None:
    contract = draft(deadline="9999-12-31T23:59:59Z")
    assert keys.sign(contract.to_json()).verify(keys.authority, now) == contract
