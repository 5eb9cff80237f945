"""Numbers for subjects and visits that a hospital names by text: keyed BLAKE2b, 63 bits."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from duckdb.func import PythonUDFType

from fedehr_client.importers.csv.row_scope import SUBJECT_FUNCTION, VISIT_FUNCTION
from fedehr_shared.errors import ConfigError

LEAST_CHARACTERS = 16


@dataclass(frozen=True, repr=False)
class IdentityHash:
    """Texts into numbers that cannot be traced back without the key."""

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

    def register(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Offer `subject_number(text)` and `visit_number(text)` to SQL."""
        for name, what in ((SUBJECT_FUNCTION, "subject"), (VISIT_FUNCTION, "visit")):
            connection.create_function(
                name, self._column(what), ["VARCHAR"], "BIGINT", type=PythonUDFType.ARROW
            )

    def _column(self, what: str) -> Callable[[pa.ChunkedArray], pa.Array]:
        def numbers(texts: pa.ChunkedArray) -> pa.Array:
            coded = pc.dictionary_encode(texts.combine_chunks())
            values = [self.number(text, what) for text in coded.dictionary.to_pylist()]
            return pa.array(values, pa.int64()).take(coded.indices)

        return numbers
