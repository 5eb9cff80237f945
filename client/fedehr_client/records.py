"""`Payload` to and from Flower's records, at the site's end."""

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedehr_shared.errors import WireError
from fedehr_shared.wire.payload import Arrays, Payload, Value, Values


def to_records(payload: Payload) -> RecordDict:
    """Arrays become `ArrayRecord`s, values `ConfigRecord`s, under the same names."""
    records = RecordDict()
    for name, arrays in payload.arrays.items():
        records[name] = ArrayRecord({key: Array(array) for key, array in arrays.items()})
    for name, values in payload.values.items():
        records[name] = ConfigRecord(dict(values))
    return records


def from_records(records: RecordDict) -> Payload:
    """Read what `to_records` made.

    Raises:
        WireError: a record of another kind, an array that is not float32, or raw bytes.
    """
    arrays: dict[str, Arrays] = {}
    values: dict[str, Values] = {}
    for name, record in records.items():
        if isinstance(record, ArrayRecord):
            arrays[name] = {key: array.numpy() for key, array in record.items()}
        elif isinstance(record, ConfigRecord):
            values[name] = {key: _plain(value) for key, value in record.items()}
        else:
            raise WireError(f"record {name} is of a kind that fedehr does not use.")
    for name, tensors in arrays.items():
        if any(array.dtype != np.float32 for array in tensors.values()):
            raise WireError(f"record {name} holds an array that is not float32.")
    return Payload(arrays, values)


def _plain(value: object) -> Value:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list) and not any(isinstance(item, bytes) for item in value):
        return value
    raise WireError("a value in the message is neither a number, a string nor a list of them.")
