"""A request of any shape becomes a `Payload` or a `WireError`, within memory."""

import hashlib
import json
import resource
from collections import Counter
from typing import Any

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client.engine import incoming
from fedehr_client.engine.incoming import (
    MAX_INDEX_BYTES,
    MAX_NUM_PARTS,
    MAX_NUM_RECORDS,
    RequestReader,
)
from fedehr_client.records import from_records, to_records
from fedehr_shared.errors import NotApprovedError, WireError
from fedehr_shared.wire.payload import Payload


def part(kind: str, children: list[str], body: bytes) -> tuple[str, bytes]:
    content = f"{kind} {','.join(children)} {len(body)}".encode() + b"\0" + body
    return hashlib.sha256(content).hexdigest(), content


class Parts:
    """A message put together by hand."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.num_pulls = 0

    def add(self, kind: str, children: list[str], body: bytes = b"") -> str:
        name, content = part(kind, children, body)
        self.contents[name] = content
        return name

    def message_of(self, records: dict[str, str]) -> str:
        body = json.dumps(records).encode()
        return self.add("Message", [self.add("RecordDict", list(set(records.values())), body)])

    def array(self, chunks: list[str], indices: list[int], stype: str = "fedehr.tensors") -> str:
        told = {"dtype": "uint8", "shape": [1], "stype": stype, "arraychunk_ids": indices}
        array = self.add("Array", chunks, json.dumps(told).encode())
        return self.add("ArrayRecord", [array], json.dumps({"tensors": array}).encode())

    def pull(self, name: str) -> bytes:
        self.num_pulls += 1
        return self.contents[name]

    def read(self, message: str, max_bytes: int = 2**30) -> Payload:
        return RequestReader(self.pull, max_bytes).read(message)


def parts_of(records: RecordDict) -> tuple[Parts, str]:
    from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects

    parts = Parts()
    for name, each in get_all_nested_objects(records).items():
        parts.contents[name] = each.deflate()
    return parts, parts.add("Message", [records.object_id])


_VALUES = st.one_of(
    st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False), st.text(max_size=20)
)
_NAMES = st.text(min_size=1, max_size=8)


@given(
    tensors=st.dictionaries(_NAMES, st.binary(max_size=60), max_size=3),
    values=st.dictionaries(_NAMES, st.dictionaries(_NAMES, _VALUES, max_size=3), max_size=3),
)
def test_what_the_engine_cuts_up_is_put_together(
    tensors: dict[str, bytes], values: dict[str, Any]
) -> None:
    for name in values.keys() & tensors.keys():
        del tensors[name]
    payload = Payload(tensors, values)
    parts, message = parts_of(to_records(payload))
    assert parts.read(message) == payload == from_records(to_records(payload))


@pytest.mark.parametrize(
    "records",
    [
        RecordDict({"m": MetricRecord({"a": 1.0})}),
        RecordDict({"c": ConfigRecord({"a": b"bytes"})}),
        RecordDict({"a": ArrayRecord({"w": Array("float32", (1,), "numpy.ndarray", b"abcd")})}),
        RecordDict({"a": ArrayRecord({})}),
    ],
    ids=["metrics", "raw bytes", "numpy", "no array"],
)
def test_records_that_fedehr_does_not_send_are_refused(records: RecordDict) -> None:
    parts, message = parts_of(records)
    with pytest.raises(WireError):
        parts.read(message)


def test_a_chunk_named_without_end_is_refused_before_it_is_made() -> None:
    parts = Parts()
    chunk = parts.add("ArrayChunk", [], bytes(5 * 2**20))
    message = parts.message_of({"model": parts.array([chunk], [0] * 100_000)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WireError, match="larger"):
        parts.read(message, max_bytes=64 * 2**20)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 150 * 2**20


def test_a_chunk_may_be_named_twice() -> None:
    parts = Parts()
    chunks = [parts.add("ArrayChunk", [], b"a\0b"), parts.add("ArrayChunk", [], b"c")]
    message = parts.message_of({"model": parts.array(chunks, [0, 1, 0])})
    assert parts.read(message).tensors == {"model": b"a\0bca\0b"}
    assert parts.num_pulls == 6, "each part is pulled once"


def test_a_request_above_the_limit_is_refused() -> None:
    parts = Parts()
    chunk = parts.add("ArrayChunk", [], bytes(1_000_000))
    message = parts.message_of({"model": parts.array([chunk], [0])})
    assert parts.read(message, max_bytes=1_001_000).tensors["model"] == bytes(1_000_000)
    with pytest.raises(WireError, match="larger than 999"):
        parts.read(message, max_bytes=999_999)


def _with_tensors(num_chunks: int, chunk_bytes: int) -> tuple[Parts, str]:
    parts = Parts()
    chunks = [
        parts.add("ArrayChunk", [], bytes([number]) * chunk_bytes) for number in range(num_chunks)
    ]
    record = ConfigRecord({"work_id": "x"})
    named = parts.add("ConfigRecord", [], record.deflate().partition(b"\0")[2])
    model = parts.array(chunks, list(range(num_chunks)))
    return parts, parts.message_of({"model": model, "work": named})


def test_the_values_say_how_large_the_tensors_may_be() -> None:
    parts, message = _with_tensors(4, 100_000)
    asked: list[tuple[Payload, int]] = []

    def read(room: int) -> Payload:
        parts.num_pulls = 0

        def told(values: Payload) -> int:
            asked.append((values, parts.num_pulls))
            return room

        return RequestReader(parts.pull, room=told).read(message)

    assert len(read(401_000).tensors["model"]) == 400_000
    assert asked == [(Payload(values={"work": {"work_id": "x"}}), 4)], "before any of a tensor"
    with pytest.raises(WireError, match="larger than 3"):
        read(300_000)
    with pytest.raises(WireError, match="larger"):
        read(0)
    assert parts.num_pulls == 5


def test_of_tensors_that_may_not_come_nothing_is_read() -> None:
    parts, message = _with_tensors(4, 100_000)
    pulled: list[str] = []

    def pull(name: str) -> bytes:
        pulled.append(name)
        return parts.contents[name]

    def refuse(_values: Payload) -> int:
        raise NotApprovedError("nobody has decided")

    with pytest.raises(NotApprovedError):
        RequestReader(pull, room=refuse).read(message)
    kinds = Counter(parts.contents[name].split(b" ")[0].decode() for name in pulled)
    assert kinds == {"Message": 1, "RecordDict": 1, "ArrayRecord": 1, "ConfigRecord": 1}


def test_too_many_records_are_refused_before_their_indices_are_read() -> None:
    parts = Parts()
    records = {
        str(number): parts.add("ArrayRecord", [], str(number).encode() * 1_000)
        for number in range(MAX_NUM_RECORDS + 1)
    }
    with pytest.raises(WireError, match="records"):
        parts.read(parts.message_of(records))
    assert parts.num_pulls == 2


def test_records_of_values_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read, they take several times their size: each within its bound would still be too much."""
    parts = Parts()
    records = {}
    for number in range(9):
        record = ConfigRecord({"text": f"{number}" * 1_000})
        records[str(number)] = parts.add("ConfigRecord", [], record.deflate().partition(b"\0")[2])
    message = parts.message_of(records)
    assert len(parts.read(message).values) == len(records)
    monkeypatch.setattr(incoming, "MAX_ALL_VALUES_BYTES", 5_000)
    parts.num_pulls = 0
    with pytest.raises(WireError, match="together"):
        parts.read(message)
    assert parts.num_pulls < len(records)


def test_too_many_parts_are_refused() -> None:
    parts = Parts()
    records = {str(i): parts.add("ConfigRecord", [], b"") for i in range(3)}
    chunks = [parts.add("ArrayChunk", [], str(i).encode()) for i in range(MAX_NUM_PARTS)]
    record = parts.array(chunks, list(range(MAX_NUM_PARTS)))
    with pytest.raises(WireError, match=r"parts|larger"):
        parts.read(parts.message_of({**records, "model": record}))
    assert parts.num_pulls <= MAX_NUM_PARTS


def test_a_long_index_is_refused() -> None:
    parts = Parts()
    record = parts.array([parts.add("ArrayChunk", [], b"")], [0] * MAX_INDEX_BYTES)
    with pytest.raises(WireError, match="larger"):
        parts.read(parts.message_of({"model": record}))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("Message", b""),
        ("RecordDict", b"[" * 100_000),
        ("RecordDict", b'{"a": "missing"}'),
        ("Array", b"{}"),
        ("Nothing", b""),
        ("ConfigRecord", b"\xff\xff\xff"),
    ],
)
def test_parts_in_wrong_places_are_refused(kind: str, body: bytes) -> None:
    parts = Parts()
    inner = parts.add(kind, [], body)
    for message in (
        inner,
        parts.add("Message", [inner]),
        parts.message_of({"work": inner}),
        parts.message_of({"work": parts.add("ArrayRecord", [inner], b'{"tensors": "x"}')}),
        parts.add("Message", [inner, inner]),
    ):
        with pytest.raises(WireError):
            parts.read(message)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_anywhere_is_a_wire_error_or_another_payload(data: st.DataObject) -> None:
    payload = Payload(
        {"model": b"\x01\x02\x03" * 9}, {"work": {"work_id": "a/b/1/1", "numbers": [1, 2, 3]}}
    )
    parts, message = parts_of(to_records(payload))
    name = data.draw(st.sampled_from(sorted(parts.contents)))
    content = bytearray(parts.contents[name])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    parts.contents[name] = bytes(content)
    try:
        read = parts.read(message)
    except WireError:
        return
    assert isinstance(read, Payload)
