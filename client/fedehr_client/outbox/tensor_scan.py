"""`scan_record`: what a record of tensors holds, read block by block without PyTorch."""

import hashlib
import math
from collections.abc import Mapping

import numpy as np

from fedehr_client.outbox.receipt import TensorRecord
from fedehr_shared.config.exchange import WireDtype
from fedehr_shared.errors import WireError
from fedehr_shared.wire.codec.record import decoded_blocks
from fedehr_shared.wire.codec.table import unpack_table


def scan_record(
    name: str, data: bytes, shapes: Mapping[str, tuple[int, ...]], dtype: WireDtype
) -> TensorRecord:
    """Look at every number of a record.

    Beside the record some megabytes are needed, whatever its size.

    Args:
        name: the record's, for errors.
        data: as it would travel.
        shapes: exactly the tensors that it must hold.
        dtype: the one that all of them must have on the wire.

    Raises:
        WireError: it holds anything else. A tensor's name is not told: it may be any text.
    """
    try:
        entries, _ = unpack_table(memoryview(data))
    except WireError as error:
        raise _wrong(name, "damaged, cut off, or followed by something else") from error
    found = {entry.name: entry.shape for entry in entries}
    if found.keys() != shapes.keys():
        num = len(found.keys() ^ shapes.keys())
        raise _wrong(name, f"not of the round's tensors: {num} are missing or unknown")
    if found != {key: tuple(shape) for key, shape in shapes.items()}:
        raise _wrong(name, "of tensors with other shapes than the study's")
    if any(entry.dtype != dtype for entry in entries):
        raise _wrong(name, f"not {dtype}, as the study says")
    squares, largest = _sums(name, data)
    return TensorRecord(
        num_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        dtype=dtype,
        num_elements=sum(entry.num_elements for entry in entries),
        norm=math.sqrt(squares),
        largest=largest,
        shapes={key: list(shape) for key, shape in found.items()},
    )


def _sums(name: str, data: bytes) -> tuple[float, float]:
    """The sum of all squares, and the greatest absolute value."""
    squares, largest = 0.0, 0.0
    try:
        for block in decoded_blocks(data):
            # In 64 bits the square of the largest float32 is far from any bound.
            wide = block.astype(np.float64)
            squares += float(wide @ wide)
            largest = max(largest, float(wide.max()), -float(wide.min()))
    except WireError as error:
        raise _wrong(
            name, "of numbers that are not finite, or of bytes that are no part of a number"
        ) from error
    return squares, largest


def _wrong(name: str, what: str) -> WireError:
    return WireError(f"the record '{name}' of an answer is {what}. It was stopped.")
