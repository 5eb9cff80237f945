"""Payloads through Flower's records: the same at both ends, and nothing but float32."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from fedehr_client import records as at_site
from fedehr_server import grid as at_coordinator
from fedehr_shared.errors import WireError
from fedehr_shared.wire.payload import Payload

names = st.text(min_size=1, max_size=8)
tensors = numpy_strategies.arrays(
    np.float32,
    numpy_strategies.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    elements=st.floats(width=32),
)
whole = st.integers(-(2**63), 2**63 - 1)
values = (
    st.booleans() | whole | st.floats() | st.text()
    | st.lists(whole) | st.lists(st.floats()) | st.lists(st.text())
)  # fmt: skip


@st.composite
def payloads(draw: st.DrawFn) -> Payload:
    records = sorted(draw(st.sets(names, max_size=4)))
    arrays = {r: draw(st.dictionaries(names, tensors, max_size=3)) for r in records[::2]}
    plain = {r: draw(st.dictionaries(names, values, max_size=4)) for r in records[1::2]}
    return Payload(arrays, plain)


def _same(one: Payload, other: Payload) -> bool:
    bits = [
        {r: {k: (a.shape, str(a.dtype), a.tobytes()) for k, a in t.items()} for r, t in p.items()}
        for p in (one.arrays, other.arrays)
    ]
    # repr tells 1 from 1.0 and True, and NaN equals itself.
    return bits[0] == bits[1] and repr(one.values) == repr(other.values)


@settings(deadline=None)
@given(payload=payloads())
def test_both_ends_read_what_either_wrote(payload: Payload) -> None:
    for ours, theirs in ((at_site, at_coordinator), (at_coordinator, at_site)):
        assert _same(theirs.from_records(ours.to_records(payload)), payload)
        assert _same(ours.from_records(ours.to_records(payload)), payload)


@pytest.mark.parametrize("end", [at_site, at_coordinator], ids=["site", "coordinator"])
@pytest.mark.parametrize(
    "dtype", ["f8", "f2", "i1", "i4", "i8", "u1", "?", "c8", "S3", "U2", "M8[s]", ">f4"]
)
def test_every_other_dtype_is_refused(end: object, dtype: str) -> None:
    records = RecordDict({"update": ArrayRecord({"w": Array(np.zeros(3, dtype=dtype))})})
    with pytest.raises(WireError):
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
    smaller = Payload(arrays=payload.arrays)
    assert smaller.num_bytes == sum(
        len(a.tobytes()) for record in payload.arrays.values() for a in record.values()
    )
    assert payload.num_bytes >= smaller.num_bytes
