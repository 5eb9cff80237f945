"""Records that are damaged, cut or made by somebody hostile: refused, and nothing allocated."""

import struct
import tracemalloc
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.errors import WireError
from fedehr_shared.wire.codec.entry import Entry
from fedehr_shared.wire.codec.record import decode, encode
from fedehr_shared.wire.codec.table import (
    FREE_BYTES,
    MOST_EXPANSION,
    MOST_TENSORS,
    pack_table,
)

DTYPES: Any = ["fp32", "bf16", "fp16", "int8"]
SMALL: dict[str, Any] = {
    "encoder.q": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
    "head": np.full((), 3, np.float32),
    "none": np.zeros((0, 2), np.float32),
}
SHAPES = {name: array.shape for name, array in SMALL.items()}
LARGEST_SIZE = 2**64 - 1


def _record(dtype: Any, tensors: Any = SMALL, *, compress: bool = True) -> bytes:
    return encode(tensors, dtype, compress=compress, generator=np.random.default_rng(0))


def _packable(dtype: Any) -> bytes:
    """Small, and packed with zstd."""
    data = _record(dtype, {"w": np.ones(200, np.float32)})
    assert len(data) < 200
    return data


def _forged(*tensors: tuple[Entry, bytes]) -> bytes:
    """A record with right checksums of whatever it says."""
    entries = [
        replace(entry, num_stored_bytes=len(body), checksum=zlib.crc32(body))
        for entry, body in tensors
    ]
    return pack_table(entries) + b"".join(body for _, body in tensors)


def _plain(name: str, shape: tuple[int, ...], body: bytes, dtype: Any = "fp32") -> bytes:
    return _forged((Entry(name, dtype, False, shape), body))


def _refused(data: bytes, match: str = ".", shapes: Any = None) -> None:
    """Refused by a `WireError`, with next to nothing allocated."""
    tracemalloc.start()
    try:
        with pytest.raises(WireError, match=match):
            decode(data, shapes=shapes)
        assert tracemalloc.get_traced_memory()[1] < 200_000 + 4 * len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("is_packed", [False, True])
def test_every_flipped_byte_is_noticed(dtype: Any, is_packed: bool) -> None:
    data = _packable(dtype) if is_packed else _record(dtype, compress=False)
    decode(data)
    for place in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            wrong = bytearray(data)
            wrong[place] ^= flip
            with pytest.raises(WireError):
                decode(bytes(wrong))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("is_packed", [False, True])
def test_every_cut_and_every_addition_is_noticed(dtype: Any, is_packed: bool) -> None:
    data = _packable(dtype) if is_packed else _record(dtype, compress=False)
    for length in range(len(data)):
        with pytest.raises(WireError):
            decode(data[:length])
        with pytest.raises(WireError):
            decode(data[length + 1 :])
    for more in (b"\0", b"fedehr", data):
        with pytest.raises(WireError, match="follows"):
            decode(data + more)


@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        decode(data)
    with pytest.raises(WireError):
        decode(pack_table([])[:10] + data)


@settings(deadline=None, max_examples=200)
@given(table=st.binary(max_size=120), num_tensors=st.integers(0, 2**32 - 1))
def test_a_table_of_other_bytes_is_refused(table: bytes, num_tensors: int) -> None:
    head = pack_table([])[:10] + struct.pack("<II", num_tensors, len(table)) + table
    data = head + struct.pack("<I", zlib.crc32(head))
    if (num_tensors, table) == (0, b""):
        assert decode(data) == {}
        return
    with pytest.raises(WireError):
        decode(data)


@pytest.mark.parametrize(
    "shape",
    [
        (LARGEST_SIZE,), (2**62,), (2**32, 2**32), (2**33, 2**33, 0), (0, LARGEST_SIZE),
        (LARGEST_SIZE,) * 8, (1,) * 33, (1,) * 255, (2**40,), (2**38,), (2**30, 2**30, 4, 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_packed", [False, True])
def test_sizes_that_overflow_are_refused_before_anything_is_allocated(
    shape: tuple[int, ...], is_packed: bool
) -> None:
    _refused(_forged((Entry("w", "fp16", is_packed, shape), b"")))
    _refused(_forged((Entry("w", "int8", is_packed, shape), b"\0" * 64)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_bomb_is_refused_before_anything_is_allocated(dtype: Any) -> None:
    """64 MiB of zeros in a few kilobytes, which would unpack well."""
    entry = Entry("w", dtype, True, (1 << 24,))
    zeros = pa.Codec("zstd").compress(bytes(1 << 17), asbytes=True)
    plane = struct.pack("<I", len(zeros)) + zeros
    num_scales = entry.conversion.num_prefix_bytes(1 << 24) // 4
    body = np.ones(num_scales, np.float32).tobytes() + plane * entry.conversion.width * 128
    assert MOST_EXPANSION * len(body) < 3 * FREE_BYTES
    _refused(_forged((entry, body)), "far more")


def test_a_tensor_that_is_larger_than_expected_is_refused_before_it_is_allocated() -> None:
    large = _record("fp16", {"w": np.zeros(1 << 22, np.float32)})
    assert len(large) < 1 << 20
    assert decode(large)["w"].shape == (1 << 22,)
    _refused(large, "tensor w is of shape", {"w": (1 << 10,)})
    _refused(large, "missing or unknown", {"v": (1 << 22,)})


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_without_end_are_sent_so_that_they_are_taken(dtype: Any) -> None:
    """What zstd would make a bomb of is not packed."""
    tensors = {f"w{i}": np.zeros(1 << 21, np.float32) for i in range(4)}
    tensors["last"] = np.ones((2, 3), np.float32)
    again = decode(_record(dtype, tensors))
    assert {name: array.tobytes() for name, array in again.items()} == {
        name: array.tobytes() for name, array in tensors.items()
    }


def test_a_name_twice_is_refused() -> None:
    entry = Entry("w", "fp32", False, (1,))
    _refused(_forged((entry, bytes(4)), (entry, bytes(4))), "twice")


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[31m", "x" * 501, "\u202e", "\0"])
def test_a_name_that_cannot_be_printed_is_neither_sent_nor_taken(name: str) -> None:
    with pytest.raises(WireError, match="name"):
        encode({name: np.zeros(1, np.float32)}, "fp16")
    _refused(_plain(name, (1,), bytes(4)), "name")


def test_half_a_letter_is_no_name() -> None:
    with pytest.raises(WireError, match="name"):
        encode({"\ud800": np.zeros(1, np.float32)}, "fp16")


@pytest.mark.parametrize("dtype", ["f8", "f2", "i1", "i4", "i8", "?", "c8", "S3", ">f4"])
def test_nothing_but_float32_is_encoded(dtype: str) -> None:
    with pytest.raises(WireError, match=r"tensor w is .*not float32"):
        encode({"w": np.zeros(3, dtype=dtype)}, "fp16")


@pytest.mark.parametrize("dtype", DTYPES)
def test_another_dtype_than_the_study_says_is_refused_by_name(dtype: Any) -> None:
    for other in DTYPES:
        if other == dtype:
            assert set(decode(_record(dtype), dtype=dtype)) == set(SMALL)
            continue
        with pytest.raises(WireError, match=r"tensor encoder.q came as"):
            decode(_record(dtype), dtype=other)


@pytest.mark.parametrize(
    ("dtype", "body"),
    [
        ("fp32", np.array([1, np.nan], np.float32).tobytes()),
        ("fp32", np.array([1, -np.inf], np.float32).tobytes()),
        ("bf16", np.array([0x3F80, 0x7F80], np.uint16).tobytes()),
        ("bf16", np.array([0x3F80, 0xFFC1], np.uint16).tobytes()),
        ("fp16", np.array([0], np.int16).tobytes() + np.array([1, np.nan], np.float16).tobytes()),
        ("fp16", np.array([0], np.int16).tobytes() + np.array([1, np.inf], np.float16).tobytes()),
        ("fp16", np.array([-113], np.int16).tobytes() + np.array([1, 6e4], np.float16).tobytes()),
        ("int8", np.array([3e38], np.float32).tobytes() + np.array([1, 100], np.int8).tobytes()),
    ],
)
@pytest.mark.parametrize("is_packed", [False, True])
def test_nan_and_infinity_are_refused_by_name(dtype: Any, body: bytes, is_packed: bool) -> None:
    entry = Entry("head", dtype, is_packed, (2,))
    width, prefix = entry.conversion.width, entry.conversion.num_prefix_bytes(2)
    if is_packed:
        planes = [body[prefix + first :: width] for first in range(width)]
        body = body[:prefix] + b"".join(struct.pack("<I", len(p)) + p for p in planes)
    _refused(_forged((entry, body)), "tensor head holds NaN or infinity")


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [
        ("fp16", -114), ("fp16", 127), ("fp16", 32767),
        ("int8", 0), ("int8", -1), ("int8", np.nan), ("int8", np.inf),
    ],
)  # fmt: skip
def test_a_scale_that_nobody_sends_is_refused_by_name(dtype: Any, scale: float) -> None:
    entry = Entry("head", dtype, False, (2,))
    prefix = np.array([scale], np.int16 if dtype == "fp16" else np.float32)
    body = prefix.tobytes() + bytes(2 * entry.conversion.width)
    _refused(_forged((entry, body)), "tensor head has a scale")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\0\0", struct.pack("<hI", 0, 8), struct.pack("<hI", 0, 2) + b"ab",
        struct.pack("<hI", 0, 9) + b"123456789", struct.pack("<hI", 0, 2**32 - 1) + b"x" * 64,
        struct.pack("<hI", 0, 4) + b"zstd" + struct.pack("<I", 8) + b"12345678",
        struct.pack("<hI", 0, 8) + b"12345678" + struct.pack("<I", 8) + b"1234",
        struct.pack("<hI", 0, 8) + b"12345678" + struct.pack("<I", 8) + b"1234567\x00more",
    ],
)  # fmt: skip
def test_a_packed_body_that_is_none_is_refused_by_name(body: bytes) -> None:
    """Two planes of eight bytes, each with its length before it."""
    _refused(_forged((Entry("head", "fp16", True, (8,)), body)), "tensor head")


@pytest.mark.parametrize("num_bytes", [0, 7, 9, 300_000])
def test_a_plane_of_another_size_is_refused(num_bytes: int) -> None:
    packed = pa.Codec("zstd").compress(bytes(num_bytes), asbytes=True)[:7]
    planes = (struct.pack("<I", len(packed)) + packed) * 2
    _refused(_forged((Entry("head", "fp16", True, (8,)), b"\0\0" + planes)), "tensor head")


def test_numbers_of_dtypes_and_packings_that_nobody_knows_are_refused() -> None:
    data = bytearray(_plain("w", (1,), bytes(4)))
    for place in (data.index(b"w") + 1, data.index(b"w") + 2):
        for number in (0, 5, 7, 255):
            wrong = bytearray(data)
            if wrong[place] == number:
                continue
            wrong[place] = number
            end = len(wrong) - 8
            wrong[end : end + 4] = struct.pack("<I", zlib.crc32(wrong[:end]))
            _refused(bytes(wrong), "dtype or packing")


@pytest.mark.parametrize(
    "data", [b"\x80\x04N.", b"PK\x03\x04" + bytes(60), b"\x93NUMPY" + bytes(90)]
)
def test_other_formats_are_refused(data: bytes) -> None:
    _refused(data)


def test_a_table_of_countless_empty_tensors_is_not_read() -> None:
    """A million took 7 seconds and 15 times their bytes of memory."""
    entries = [Entry(f"{number}", "fp32", False, (0,)) for number in range(MOST_TENSORS + 1)]
    data = pack_table(entries)
    tracemalloc.start()
    try:
        with pytest.raises(WireError, match=f"{MOST_TENSORS + 1} tensors"):
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert len(decode(pack_table(entries[:-1]))) == MOST_TENSORS
