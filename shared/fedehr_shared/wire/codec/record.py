"""`encode` and `decode`: named float32 tensors to a record of bytes and back.

`docs/protocol.md` has the layout byte by byte. Tensors are converted in blocks, so that beside
what goes in and what comes out a few megabytes are needed, whatever the model's size.
"""

import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.exchange import WireDtype
from fedehr_shared.errors import WireError
from fedehr_shared.wire.codec.conversion import (
    BLOCK_ELEMENTS,
    Bytes,
    Floats,
    UnfitTensorError,
    Writer,
    require_finite,
)
from fedehr_shared.wire.codec.entry import Entry
from fedehr_shared.wire.codec.planes import pack_block, require_canonical, unpack_block
from fedehr_shared.wire.codec.table import check_expected, may_expand, pack_table, unpack_table


def encode(
    tensors: Mapping[str, NDArray[np.float32]],
    dtype: WireDtype,
    *,
    compress: bool = True,
    generator: np.random.Generator | None = None,
) -> bytes:
    """Encode tensors, in their order.

    Args:
        tensors: float32 by name, of any shape.
        dtype: of all of them on the wire.
        compress: pack with zstd what shrinks by it.
        generator: rounds for `int8`, which needs it; the same one gives the same bytes.

    Raises:
        WireError: a tensor is not float32, holds NaN or infinity or what `dtype` cannot hold, or
            has a name that cannot travel.
    """
    entries = [Entry(name, dtype, compress, tensor.shape) for name, tensor in tensors.items()]
    for entry in entries:
        entry.check()
        if tensors[entry.name].dtype != np.float32:
            raise WireError(f"tensor {entry.name} is {tensors[entry.name].dtype}, not float32.")
    buffer = io.BytesIO()
    buffer.write(pack_table(entries))
    num_decoded_bytes = 0
    for place, entry in enumerate(entries):
        elements = np.ascontiguousarray(tensors[entry.name]).reshape(-1)
        num_decoded_bytes += elements.nbytes
        try:
            entries[place] = _write(buffer, entry, elements, generator, num_decoded_bytes)
        except UnfitTensorError as error:
            raise WireError(f"tensor {entry.name} {error}. It was not sent.") from error
    buffer.seek(0)
    buffer.write(pack_table(entries))
    return buffer.getvalue()


def decode(
    data: bytes | memoryview,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    dtype: WireDtype | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Decode a record, whole or not at all.

    What is allocated is bounded before it is: by `shapes`, and in any case by 16 MiB and 16
    times the size of `data`.

    Args:
        data: what `encode` made, or anything else.
        shapes: exactly the names and shapes that are expected; None: any.
        dtype: the one that every tensor must have on the wire; None: any.

    Raises:
        WireError: the record is corrupt, cut off or too long, or a tensor has another name,
            shape or dtype than expected, or holds NaN or infinity.
    """
    return dict(each_decoded(data, shapes=shapes, dtype=dtype))


def each_decoded(
    data: bytes | memoryview,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    dtype: WireDtype | None = None,
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """`decode`, tensor by tensor, for who keeps none of them.

    Raises:
        WireError: as `decode`; what came before it was sound.
    """
    view = memoryview(data).toreadonly().cast("B")
    entries, at = unpack_table(view)
    check_expected(entries, shapes, dtype)
    for entry, body in _bodies(view, entries, at):
        whole = np.empty(entry.num_elements, np.float32)
        for _ in _blocks(entry, body, whole):
            pass
        yield entry.name, whole.reshape(entry.shape)


def decoded_blocks(data: bytes | memoryview) -> Iterator[Floats]:
    """Decode a record block by block; no more than a block is held, whatever the record's size.

    Besides, it must be packed as `encode` packs: beside the numbers its bytes say nothing.

    Yields:
        The elements of one tensor after the other, flat, each block valid until the next.

    Raises:
        WireError: the record is corrupt, cut off, too long or packed in another way, or holds NaN
            or infinity.
    """
    view = memoryview(data).toreadonly().cast("B")
    entries, at = unpack_table(view)
    for entry, body in _bodies(view, entries, at):
        yield from _blocks(entry, body, None)


def _write(
    buffer: io.BytesIO,
    entry: Entry,
    elements: Floats,
    generator: np.random.Generator | None,
    num_decoded_bytes: int,
) -> Entry:
    """Write a tensor's body at the end of the buffer, packed if that pays and is allowed; its
    entry, completed."""
    start = buffer.tell()
    if entry.is_packed:
        written = _write_body(buffer, entry, elements, generator)
        is_smaller = written.num_stored_bytes < entry.num_plain_bytes
        if is_smaller and may_expand(num_decoded_bytes, buffer.tell()):
            return written
        buffer.seek(start)
        buffer.truncate()
    return _write_body(buffer, replace(entry, is_packed=False), elements, generator)


def _write_body(
    buffer: io.BytesIO, entry: Entry, elements: Floats, generator: np.random.Generator | None
) -> Entry:
    start = buffer.tell()
    writer = entry.conversion.writer(elements, generator)
    checksum = 0
    for part in _parts(writer, entry):
        buffer.write(part)
        checksum = zlib.crc32(part, checksum)
    num_stored_bytes = buffer.tell() - start
    return replace(entry, num_stored_bytes=num_stored_bytes, checksum=checksum)


def _parts(writer: Writer, entry: Entry) -> Iterator[bytes | memoryview]:
    """A tensor's body, each part valid until the next one."""
    yield writer.prefix()
    for first in range(0, entry.num_elements, BLOCK_ELEMENTS):
        block = writer.block(first, min(first + BLOCK_ELEMENTS, entry.num_elements))
        if entry.is_packed:
            yield from pack_block(block, entry.conversion.width)
        else:
            yield block.data


def _bodies(
    view: memoryview, entries: Sequence[Entry], at: int
) -> Iterator[tuple[Entry, memoryview]]:
    """Each tensor's body, whose checksum is right; what is wrong with its reading is told by its
    name."""
    for entry in entries:
        body = view[at : at + entry.num_stored_bytes]
        at += entry.num_stored_bytes
        if zlib.crc32(body) != entry.checksum:
            raise WireError(f"the checksum of tensor {entry.name} is wrong. It was not used.")
        yield entry, body


def _blocks(entry: Entry, body: memoryview, whole: Floats | None) -> Iterator[Floats]:
    """A tensor's blocks, in `whole`, or each in the same memory and looked at more closely.

    Raises:
        WireError: the body is none of such a tensor.
    """
    try:
        yield from _read(entry, body, whole)
    except UnfitTensorError as error:
        raise WireError(f"tensor {entry.name} {error}. It was not used.") from error


def _read(entry: Entry, body: memoryview, whole: Floats | None) -> Iterator[Floats]:
    conversion, num_elements = entry.conversion, entry.num_elements
    at = conversion.num_prefix_bytes(num_elements)
    if len(body) < at:
        raise UnfitTensorError("ends too early")
    reader = conversion.reader(bytes(body[:at]), num_elements)
    is_close = whole is None
    out_of = np.empty(min(num_elements, BLOCK_ELEMENTS), np.float32) if whole is None else whole
    for first in range(0, num_elements, BLOCK_ELEMENTS):
        size = min(BLOCK_ELEMENTS, num_elements - first)
        begin = 0 if is_close else first
        out = out_of[begin : begin + size]
        block, taken = _block(entry, body[at:], size)
        if is_close and entry.is_packed:
            require_canonical(block, entry.conversion.width, body[at : at + taken])
        at += taken
        reader.block(block, first, out)
        require_finite(out)
        yield out
    if at != len(body):
        raise UnfitTensorError("has bytes that belong to nothing")


def _block(entry: Entry, data: memoryview, num_elements: int) -> tuple[Bytes, int]:
    width = entry.conversion.width
    if entry.is_packed:
        return unpack_block(data, num_elements, width)
    num_bytes = num_elements * width
    return np.frombuffer(data[:num_bytes], np.uint8), num_bytes
