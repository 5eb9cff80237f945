"""`SealedBytes`: an answer as it is kept and as its digest names it, byte for byte.

A line of JSON, then the records of tensors one after the other:

    {"tensors": {"update": <bytes>}, "values": {"metrics": {...}, "report": {...}}}

Records and keys stand in the order of their names, whatever order an answer came in: an order
says nothing, and so must tell nothing.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fedehr_shared.errors import DataError
from fedehr_shared.wire.payload import Payload

_MOST_HEADER_BYTES = 1 << 30


@dataclass(frozen=True)
class SealedBytes:
    """An answer and its header; the tensors are not copied.

    Attributes:
        payload: the answer, in order.
        header: the line.
    """

    payload: Payload
    header: bytes

    @classmethod
    def of(cls, answer: Payload) -> "SealedBytes":
        """The bytes of an answer.

        Raises:
            ValueError: it holds NaN, infinity, or what JSON has no form for.
        """
        values = {
            record: {key: own[key] for key in sorted(own)}
            for record, own in sorted(answer.values.items())
        }
        payload = Payload(dict(sorted(answer.tensors.items())), values)
        lengths = {name: len(record) for name, record in payload.tensors.items()}
        header = {"tensors": lengths, "values": values}
        text = json.dumps(header, separators=(",", ":"), allow_nan=False)
        return cls(payload, text.encode() + b"\n")

    @property
    def parts(self) -> tuple[bytes, ...]:
        """All bytes, in their order."""
        return (self.header, *self.payload.tensors.values())

    @property
    def num_bytes(self) -> int:
        """Of all parts."""
        return sum(map(len, self.parts))

    @property
    def sha256(self) -> str:
        """The digest of all parts, in hexadecimal."""
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(part)
        return digest.hexdigest()

    @classmethod
    def read(cls, file: Path, sha256: str) -> "SealedBytes | None":
        """What was written to a file; None where any byte is another one, or there is no file.

        Raises:
            DataError: the file cannot be read.
        """
        try:
            with file.open("rb") as stream:
                sealed = _parsed(stream)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(
                f"cannot read {file}: {error.strerror}. Check its permissions."
            ) from error
        return sealed if sealed is not None and sealed.sha256 == sha256 else None


def _parsed(stream: IO[bytes]) -> SealedBytes | None:
    header = stream.readline(_MOST_HEADER_BYTES)
    try:
        content = json.loads(header)
        lengths, values = dict(content["tensors"]), dict(content["values"])
        tensors = {str(name): stream.read(int(length)) for name, length in lengths.items()}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    is_whole = not stream.read(1) and all(len(tensors[k]) == n for k, n in lengths.items())
    return SealedBytes(Payload(tensors, values), header) if is_whole else None
