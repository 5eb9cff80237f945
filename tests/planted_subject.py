"""`PlantedSubject`: a subject whom nothing resembles, and a search for all traces of them.

Loaded by tests/conftest.py.
"""

import base64
import contextlib
import datetime
import hashlib
import itertools
import json
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_ZSTD_MAGIC, _GZIP_MAGIC = b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08"
_BLOCK_BYTES = 4_096
_LEAST_BYTES = 8
"""Shorter spellings in base64 would be found by chance."""


@dataclass(frozen=True)
class PlantedSubject:
    """One person of one split.

    Attributes:
        split: theirs.
        subject_id: unlike any count, seed or digest.
        code: that nobody else has.
        description: the code's, of words that no other has.
        value: the code's, exact in 32 bits.
        time: of the event.
    """

    split: str
    subject_id: int
    code: str
    description: str
    value: float
    time: datetime.datetime

    def plant(self, site: Any, like: int) -> None:
        """Add them to a site's folder: the records and labels of `like`, and the code of their
        own."""
        events = pq.read_table(site.data_files[0])
        own = events.filter(pa.compute.equal(events.column("subject_id"), like)).to_pylist()
        last = max(event["time"] for event in own if event["time"] is not None)
        mark = {
            "subject_id": self.subject_id, "time": self.time, "code": self.code,
            "numeric_value": self.value, "visit_id": None,
        }  # fmt: skip
        assert self.time < last
        rows = [{**event, "subject_id": self.subject_id} for event in own] + [mark]
        rows.sort(key=lambda event: (event["time"] is not None, event["time"] or self.time))
        self._append(site.data_files[0], rows)
        self._append(site.splits_file, [{"subject_id": self.subject_id, "split": self.split}])
        self._append(
            site.codes_file,
            [{"code": self.code, "description": self.description, "parent_codes": []}],
        )
        for task in site.tasks:
            labels = pq.read_table(site.labels_file(task)).to_pylist()
            told = [label for label in labels if label["subject_id"] == like]
            self._append(
                site.labels_file(task), [{**row, "subject_id": self.subject_id} for row in told]
            )

    @staticmethod
    def _append(file: Path, rows: list[dict[str, Any]]) -> None:
        table = pq.read_table(file)
        more = pa.Table.from_pylist(rows, schema=table.schema)
        pq.write_table(pa.concat_tables([table, more]), file)

    @cached_property
    def spellings(self) -> dict[str, bytes]:
        """By a name for each, how any of it could be written."""
        microseconds = int(self.time.replace(tzinfo=datetime.UTC).timestamp() * 1_000_000)
        texts = {
            "identifier": str(self.subject_id),
            "identifier in hexadecimal": f"{self.subject_id:x}",
            "code": self.code,
            "code in capitals": self.code.upper(),
            "code in small letters": self.code.lower(),
            "code's name alone": self.code.rpartition("//")[2],
            "description": self.description,
            "value": f"{self.value:.1f}",
            "value in 6 digits": f"{self.value:.6g}",
            "time": self.time.isoformat(),
            "time with a space": str(self.time),
            "microseconds": str(microseconds),
            **{f"word {word}": word for word in self.description.split()},
        }
        found = {
            **dict(_of_texts(texts)),
            **{f"sha256 of the {name}": _digest(texts[name]) for name in ("identifier", "code")},
            "value, float32": struct.pack("<f", self.value),
            "value, float32, big-endian": struct.pack(">f", self.value),
            "value, float64": struct.pack("<d", self.value),
            "identifier, float64": struct.pack("<d", self.subject_id),
        }
        for name, number in (("identifier", self.subject_id), ("microseconds", microseconds)):
            found[f"{name}, int64"] = struct.pack("<q", number)
            found[f"{name}, int64, big-endian"] = struct.pack(">q", number)
            found[f"{name}, varint"] = _varint(number)
        return found | dict(_in_base64(found))

    def traces(self, content: bytes) -> list[str]:
        """The names of what is found in some bytes, or in what is packed within them."""
        return sorted(
            name
            for part in unpacked(content)
            for name, spelling in self.spellings.items()
            if spelling in part
        )


def planted(seed: int, split: str) -> PlantedSubject:
    """A subject of a split; each seed is another."""
    mark = hashlib.sha256(f"planted {seed}".encode()).hexdigest()
    return PlantedSubject(
        split=split,
        subject_id=5_412_880_317_946_213_007 + 1_000_003 * seed,
        code=f"PLANTED//Qz{mark[:8]}",
        description=f"zyxoquartz{mark[8:12]} vexilloglyph{mark[12:16]}",
        value=73_190.828125 + 512 * seed,
        time=datetime.datetime(1997, 3, 4, 5, 6, 7, 891_011 + seed),
    )


def unpacked(content: bytes) -> Iterator[bytes]:
    """The bytes, and each frame of zstd and gzip that begins anywhere within them."""
    yield content
    for found in re.finditer(re.escape(_ZSTD_MAGIC), content):
        yield b"".join(_unpacked_zstd(content[found.start() :]))
    for found in re.finditer(re.escape(_GZIP_MAGIC), content):
        with contextlib.suppress(zlib.error):
            yield zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(content[found.start() :])


def _unpacked_zstd(content: bytes) -> Iterator[bytes]:
    """A frame, up to where something else follows it."""
    stream = pa.CompressedInputStream(pa.BufferReader(content), "zstd")
    with contextlib.suppress(OSError):
        while block := stream.read(_BLOCK_BYTES):
            yield block


def contents_of(payload: Any) -> Iterator[bytes]:
    """All bytes of an answer or a request: as encoded, decoded, and its values in JSON."""
    from fedehr_shared.wire.codec.record import decode

    for record in payload.tensors.values():
        yield record
        for name, array in decode(record).items():
            yield name.encode()
            yield array.tobytes()
    yield json.dumps(payload.values).encode()
    yield json.dumps(payload.values, ensure_ascii=False).encode()
    for values in payload.values.values():
        yield from _of_numbers(values)


def files_of(folders: Iterable[Path]) -> Iterator[tuple[Path, bytes]]:
    """Every file below some folders."""
    for folder in folders:
        yield from ((file, file.read_bytes()) for file in folder.rglob("*") if file.is_file())


def _of_numbers(values: Mapping[str, Any]) -> Iterator[bytes]:
    """Numbers as a message packs them: lists of 64 bits each."""
    for value in values.values():
        numbers = value if isinstance(value, list) else [value]
        if numbers and all(type(number) is int for number in numbers):
            yield struct.pack(f"<{len(numbers)}q", *numbers)
        if numbers and all(type(number) is float for number in numbers):
            yield struct.pack(f"<{len(numbers)}d", *numbers)


def _of_texts(texts: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    for (name, text), encoding in itertools.product(
        texts.items(), ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le")
    ):
        yield f"{name}, {encoding}", text.encode(encoding)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).hexdigest().encode()


def _varint(number: int) -> bytes:
    """As protobuf writes it."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _in_base64(spellings: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Whatever stands before it, a text's base64 is one of three, but for its ends."""
    for (name, spelling), shift in itertools.product(spellings.items(), range(3)):
        if len(spelling) >= _LEAST_BYTES:
            whole = base64.b64encode(b"\0" * shift + spelling)
            yield f"{name}, base64 from {shift}", whole[4 * bool(shift) : -4]
            yield (
                f"{name}, url base64 from {shift}",
                base64.urlsafe_b64encode(b"\0" * shift + spelling)[4 * bool(shift) : -4],
            )
