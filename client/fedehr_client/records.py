"""`Payload` to and from Flower's records, at the site's end."""

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedehr_shared.errors import WireError
from fedehr_shared.wire.payload import Payload, Value, Values

ARRAY_NAME = "tensors"
STYPE = "fedehr.tensors"
"""Neither NumPy's nor PyTorch's: nothing but `wire/codec` reads these bytes."""


def to_records(payload: Payload) -> RecordDict:
    """Encoded tensors become one `Array` of raw bytes in an `ArrayRecord`, which the engine cuts
    into chunks; values become `ConfigRecord`s; under the same names."""
    records = RecordDict()
    for name, data in payload.tensors.items():
        records[name] = ArrayRecord({ARRAY_NAME: Array("uint8", (len(data),), STYPE, data)})
    for name, values in payload.values.items():
        records[name] = ConfigRecord(dict(values))
    return records


def from_records(records: RecordDict) -> Payload:
    """Read what `to_records` made.

    Raises:
        WireError: a record of another kind, an array that is no encoded tensors, or raw bytes.
    """
    tensors: dict[str, bytes] = {}
    values: dict[str, Values] = {}
    for name, record in records.items():
        if isinstance(record, ArrayRecord):
            tensors[name] = _encoded(name, record)
        elif isinstance(record, ConfigRecord):
            values[name] = {key: _plain(value) for key, value in record.items()}
        else:
            raise WireError(f"record {name} is of a kind that fedehr does not use.")
    return Payload(tensors, values)


def _encoded(name: str, record: ArrayRecord) -> bytes:
    """What NumPy or PyTorch would read is not taken: the codec alone reads tensors."""
    array = record.get(ARRAY_NAME)
    if array is None or len(record) != 1 or array.stype != STYPE:
        raise WireError(
            f"record {name} does not hold encoded tensors. Use the same fedehr version."
        )
    return array.data


def _plain(value: object) -> Value:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list) and not any(isinstance(item, bytes) for item in value):
        return value
    raise WireError("a value in the message is neither a number, a string nor a list of them.")
