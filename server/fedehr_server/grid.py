"""Flower's `Grid` as a `Transport`: public push and pull, answers one by one."""

import logging
import time

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fedehr_server.answer_pulls import AnswerPulls
from fedehr_server.transport import Absence
from fedehr_shared.errors import WireError
from fedehr_shared.wire.payload import Payload, Value, Values

log = logging.getLogger("fedehr.server")

_POLL_SECONDS = 0.1
ARRAY_NAME = "tensors"
STYPE = "fedehr.tensors"
"""Neither NumPy's nor PyTorch's: nothing but `wire/codec` reads these bytes."""


class GridTransport:
    """Sends each request as a `query` message; of each node the latest one is owed an answer."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._pulls = AnswerPulls(grid)

    def nodes(self) -> frozenset[int]:
        """The nodes that are connected now."""
        return frozenset(self._grid.get_node_ids())

    def push(self, node: int, payload: Payload) -> None:
        """Send work to a node; an earlier request to it is forgotten."""
        message = Message(content=to_records(payload), dst_node_id=node, message_type="query")
        self._pulls.forget(node)
        for message_id in self._grid.push_messages([message]):
            self._pulls.expect(node, message_id)

    def pull(self) -> list[tuple[int, Payload | Absence | None]]:
        """Answers that came since the last call; it waits for none."""
        return [(node, _read(reply)) for node, reply in self._pulls.take()]

    def wait(self) -> None:
        """Sleep a tenth of a second."""
        time.sleep(_POLL_SECONDS)


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
    """Read what a site sent.

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
    raise WireError("a value in the answer is neither a number, a string nor a list of them.")


def _read(reply: Message) -> Payload | Absence | None:
    if reply.has_error():
        # fedehr's nodes tell of their own failures in an answer: this is the engine's, of a node
        # that is not connected or was lost with the request.
        return Absence.AWAY
    try:
        return from_records(reply.content)
    except Exception as error:  # bytes from outside: NumPy's reader alone raises seven kinds
        log.warning("an answer cannot be read: %s", type(error).__name__)
        return None
