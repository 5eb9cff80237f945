"""Frames: whatever is written is read back, and whatever else comes is refused."""

import json
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client.child.frame import (
    MARK,
    MOST_HEADER_BYTES,
    MOST_TENSOR_BYTES,
    Frame,
    FrameError,
    read_frame,
)
from fedehr_shared.wire.payload import Payload

texts = st.text(max_size=20)
plain = st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
lists = st.lists(st.integers()) | st.lists(st.floats(allow_nan=False)) | st.lists(texts)
payloads = st.builds(
    Payload,
    st.dictionaries(texts, st.binary(max_size=200), max_size=4),
    st.dictionaries(texts, st.dictionaries(texts, plain | lists, max_size=4), max_size=4),
)


class Dribble:
    """Gives a few bytes at a time, and ends."""

    def __init__(self, content: bytes, most: int = 7) -> None:
        self._stream = BytesIO(content)
        self._most = most

    def __call__(self, num_bytes: int) -> bytes:
        piece = self._stream.read(min(num_bytes, self._most))
        if not piece:
            raise EOFError
        return piece


@settings(deadline=None)
@given(texts, payloads, st.integers(1, 50))
def test_what_is_written_is_read(kind: str, payload: Payload, most: int) -> None:
    content = b"".join(Frame(kind, payload).parts())
    stream = Dribble(content + b"rest", most)
    found = read_frame(stream)
    assert found == Frame(kind, payload)
    assert repr(found) == repr(Frame(kind, payload))
    assert stream(100) == b"rest"[: min(4, most)]


@settings(deadline=None)
@given(payloads, st.data())
def test_what_is_altered_is_a_frame_or_refused(payload: Payload, data: st.DataObject) -> None:
    content = bytearray(b"".join(Frame("answer", payload).parts()))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_frame(Dribble(bytes(content)))
    except (FrameError, EOFError):
        return


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | texts,
        lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
        max_leaves=10,
    )
)
def test_a_header_of_any_shape_is_refused(about: Any) -> None:
    with pytest.raises(FrameError):
        read_frame(Dribble(_frame(json.dumps(about).encode())))


@pytest.mark.parametrize(
    "about",
    [
        {"kind": 1, "values": {}, "tensors": []},
        {"kind": "a", "values": {"r": {"k": None}}, "tensors": []},
        {"kind": "a", "values": {"r": {"k": [[1]]}}, "tensors": []},
        {"kind": "a", "values": {"r": {"k": {"a": 1}}}, "tensors": []},
        {"kind": "a", "values": {"r": []}, "tensors": []},
        {"kind": "a", "values": {}, "tensors": [["m", 1]]},
        {"kind": "a", "values": {}, "tensors": [["m", -1], ["n", 1]]},
        {"kind": "a", "values": {}, "tensors": [["m", True], ["n", -1]]},
        {"kind": "a", "values": {}, "tensors": [["m", 0], ["m", 0]]},
        {"kind": "a", "values": {}, "tensors": [["m", 0.0]]},
        {"kind": "a", "values": {}, "tensors": [[1, 0]]},
        {"kind": "a", "values": {}, "tensors": ["m"]},
        {"kind": "a", "values": {}, "tensors": [], "more": 1},
    ],
)
def test_a_header_that_is_nearly_one_is_refused(about: Any) -> None:
    with pytest.raises(FrameError):
        read_frame(Dribble(_frame(json.dumps(about).encode())))


def _frame(header: bytes, tensor_bytes: int = 0) -> bytes:
    return MARK + len(header).to_bytes(4, "little") + tensor_bytes.to_bytes(8, "little") + header


@pytest.mark.parametrize(
    ("header_bytes", "tensor_bytes"), [(MOST_HEADER_BYTES + 1, 0), (2, MOST_TENSOR_BYTES + 1)]
)
def test_lengths_beyond_the_bounds_are_refused_before_a_byte_is_read(
    header_bytes: int, tensor_bytes: int
) -> None:
    lengths = header_bytes.to_bytes(4, "little") + tensor_bytes.to_bytes(8, "little")
    with pytest.raises(FrameError, match="too large"):
        read_frame(Dribble(MARK + lengths))
