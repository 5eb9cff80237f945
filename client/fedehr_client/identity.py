"""Subjects' numbers: the records' own `subject_id`, or one made of a hospital's text."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fedehr_shared.errors import ConfigError

LEAST_CHARACTERS = 16
_MOST_DIGITS = 19


@dataclass(frozen=True, repr=False)
class IdentityHash:
    """Texts into numbers that cannot be traced back without the key: BLAKE2b, 63 bits."""

    key: bytes

    @classmethod
    def read(cls, file: Path) -> "IdentityHash":
        """Take the key from a file's text.

        Raises:
            ConfigError: the file is missing or holds fewer than 16 characters.
        """
        try:
            secret = file.read_bytes().strip()
        except OSError as error:
            raise ConfigError(
                f"cannot read the key of the subjects' numbers, {file}: {error.strerror}. Make one "
                f"with `openssl rand -hex 32 > {file}` and keep it."
            ) from None
        if len(secret) < LEAST_CHARACTERS:
            raise ConfigError(
                f"the key in {file} has {len(secret)} characters, at least {LEAST_CHARACTERS} are "
                f"needed. Make one with `openssl rand -hex 32 > {file}`."
            )
        return cls(hashlib.sha256(secret).digest())

    def number(self, text: str, what: str) -> int:
        """The number of `text`, 1 to 2^63 - 1.

        Args:
            text: the hospital's own number or name.
            what: `subject` or `visit`: the same text gives each another number.
        """
        digest = hashlib.blake2b(text.encode(), key=self.key, digest_size=8, person=what.encode())
        return int.from_bytes(digest.digest(), "big") % (2**63 - 1) + 1


def subject_id_of(text: str, identity: IdentityHash | None) -> int | None:
    """The `subject_id` that a text stands for; None where it is none.

    Args:
        text: without blanks around it.
        identity: the hash that the records' import used; None where `text` is the number.
    """
    if identity is not None:
        return identity.number(text, "subject") if text else None
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS):
        return None
    value = -int(digits) if text.startswith("-") else int(digits)
    return value if -(2**63) <= value < 2**63 else None
