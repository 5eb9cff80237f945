"""Payloads through Flower's records: the same at both ends, and no tensors but encoded ones."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client import records as at_site
from fedehr_server import grid as at_coordinator
from fedehr_shared.errors import WireError
from fedehr_shared.wire.payload import Payload

names = st.text(min_size=1, max_size=8)
whole = st.integers(-(2**63), 2**63 - 1)
values = (
    st.booleans() | whole | st.floats() | st.text()
    | st.lists(whole) | st.lists(st.floats()) | st.lists(st.text())
)  # fmt: skip

ENCODED = Array("uint8", (2,), at_site.STYPE, b"xy")
OTHER_ARRAYS: dict[str, dict[str, Array]] = {
    "none": {},
    "another name": {"w": ENCODED},
    "one too many": {at_site.ARRAY_NAME: ENCODED, "w": ENCODED},
    "of NumPy": {at_site.ARRAY_NAME: Array(np.zeros(3, np.float32))},
    "raw bytes of another kind": {at_site.ARRAY_NAME: Array("uint8", (2,), "numpy.save", b"xy")},
}


@st.composite
def payloads(draw: st.DrawFn) -> Payload:
    records = sorted(draw(st.sets(names, max_size=4)))
    tensors = {r: draw(st.binary(max_size=40)) for r in records[::2]}
    plain = {r: draw(st.dictionaries(names, values, max_size=4)) for r in records[1::2]}
    return Payload(tensors, plain)


def _same(one: Payload, other: Payload) -> bool:
    # repr tells 1 from 1.0 and True, and NaN equals itself.
    return one.tensors == other.tensors and repr(one.values) == repr(other.values)


@settings(deadline=None)
@given(payload=payloads())
def test_both_ends_read_what_either_wrote(payload: Payload) -> None:
    for ours, theirs in ((at_site, at_coordinator), (at_coordinator, at_site)):
        assert _same(theirs.from_records(ours.to_records(payload)), payload)
        assert _same(ours.from_records(ours.to_records(payload)), payload)


@pytest.mark.parametrize("end", [at_site, at_coordinator], ids=["site", "coordinator"])
@pytest.mark.parametrize("arrays", OTHER_ARRAYS, ids=str)
def test_every_other_array_is_refused(end: object, arrays: str) -> None:
    records = RecordDict({"update": ArrayRecord(OTHER_ARRAYS[arrays])})
    with pytest.raises(WireError, match="update"):
        end.from_records(records)  # type: ignore[attr-defined]


@pytest.mark.parametrize("end", [at_site, at_coordinator], ids=["site", "coordinator"])
def test_another_kind_of_record_is_refused(end: object) -> None:
    with pytest.raises(WireError):
        end.from_records(RecordDict({"m": MetricRecord({"loss": 1.0})}))  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", [b"raw", [b"raw"]])
def test_bytes_are_no_value_at_either_end(value: bytes | list[bytes]) -> None:
    records = RecordDict({"report": ConfigRecord({"site": value})})
    with pytest.raises(WireError):
        at_site.from_records(records)
    with pytest.raises(WireError):
        at_coordinator.from_records(records)


@settings(deadline=None)
@given(payload=payloads())
def test_bytes_are_counted_by_content(payload: Payload) -> None:
    smaller = Payload(tensors=payload.tensors)
    assert smaller.num_bytes == sum(len(record) for record in payload.tensors.values())
    assert payload.num_bytes >= smaller.num_bytes


def test_the_engine_cuts_a_large_record_into_chunks_and_joins_them_again() -> None:
    """No message of the engine comes near its limit of 2 GB."""
    large = np.random.default_rng(0).bytes(12_000_000)
    record = at_coordinator.to_records(Payload(tensors={"model": large}))["model"]
    assert isinstance(record, ArrayRecord)
    (array,) = record.values()
    chunks = dict(array.slice_array())
    assert len(chunks) == 3
    assert max(len(chunk.deflate()) for chunk in chunks.values()) < 6_000_000
    assert len(array.deflate()) + len(record.deflate()) < 2_000
    again = Array.inflate(array.deflate(), chunks)
    arrived = ArrayRecord.inflate(record.deflate(), {again.object_id: again})
    assert at_site.from_records(RecordDict({"model": arrived})).tensors == {"model": large}
