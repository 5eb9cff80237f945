"""`SignedContract`: a contract's text, its signature, and the certificate of who signed it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedehr_shared.contract.signer_certificate import signer_key
from fedehr_shared.contract.study_contract import MOST_CHARACTERS, StudyContract
from fedehr_shared.errors import ContractError
from fedehr_shared.wire.payload import Value, Values

_KEYS = ("text", "signature", "certificate")
_MOST_CERTIFICATE_CHARACTERS = 16_384
_SIGNATURE_BYTES = 64
_PURPOSE = b"fedehr study contract 1\n"
"""Before the text: the same key's signature of anything else is none of a contract."""


@dataclass(frozen=True)
class SignedContract:
    """As it travels, and as it lies in a file; nothing of it is believed before `verify`.

    Attributes:
        text: `StudyContract.to_json`.
        signature: Ed25519, in hexadecimal.
        certificate: the signer's, PEM.
    """

    text: str
    signature: str
    certificate: str

    def verify(self, authority_pem: bytes, now: datetime) -> StudyContract:
        """The contract, once all of it has been checked.

        Certificate, signature, canonical form, version, times, and what follows from the study.

        Args:
            authority_pem: the authority that issued the signer's certificate.
            now: this machine's clock, with its time zone.

        Raises:
            ContractError: with what is wrong.
            ConfigError: no noise keeps the study within its target.
        """
        from cryptography.exceptions import InvalidSignature

        self._require_sizes()
        key = signer_key(self.certificate, authority_pem, now)
        try:
            key.verify(bytes.fromhex(self.signature), signed_bytes(self.text))
        except (InvalidSignature, ValueError) as error:
            raise ContractError(
                "the contract's signature is not its signer's. It was changed, or damaged on its "
                "way: ask the coordinator for it again."
            ) from error
        contract = StudyContract.from_json(self.text)
        contract.require_in_time(now)
        contract.require_terms()
        return contract

    def to_values(self) -> Values:
        """The record `contract` of a request."""
        return {key: getattr(self, key) for key in _KEYS}

    @classmethod
    def from_values(cls, values: Mapping[str, Value]) -> "SignedContract":
        """Read a record.

        Raises:
            ContractError: it is not what `to_values` makes.
        """
        texts = {key: value for key, value in values.items() if isinstance(value, str)}
        if set(texts) != set(_KEYS) or set(values) != set(_KEYS):
            raise ContractError("a signed contract lacks a part, or has one too many.")
        return cls(**texts)

    def to_json(self) -> str:
        """As a file."""
        return json.dumps(self.to_values(), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "SignedContract":
        """Read what `to_json` wrote.

        Raises:
            ContractError: it is no signed contract.
        """
        if len(text) > 2 * MOST_CHARACTERS:
            raise ContractError("the file is longer than any contract. It was not read.")
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ContractError("the file is no signed contract: it is not JSON.") from error
        if not isinstance(values, dict):
            raise ContractError("the file is no signed contract: it is not a JSON object.")
        return cls.from_values(values)

    @classmethod
    def load(cls, path: Path) -> "SignedContract":
        """Read a file.

        Raises:
            ContractError: it cannot be read, or is no signed contract.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ContractError(f"cannot read {path}. Check the path.") from error
        return cls.from_json(text)

    def _require_sizes(self) -> None:
        is_short = (
            len(self.text) <= MOST_CHARACTERS
            and len(self.certificate) <= _MOST_CERTIFICATE_CHARACTERS
        )
        if not is_short or len(self.signature) != 2 * _SIGNATURE_BYTES:
            raise ContractError("a part of the signed contract is too long. It was not read.")


def signed_bytes(text: str) -> bytes:
    """What a signature is over."""
    return _PURPOSE + text.encode()
