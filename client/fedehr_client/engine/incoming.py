"""`RequestReader`: a request's content, put together part by part within bounds.

The engine cuts a message into objects that name their children by SHA-256; the SuperNode has
checked the hashes. A few bytes can name the same child very often, so what they would make is
counted before it is made. Chunks are appended as they come: only one copy is in memory.

Values are read first: they say what the request is, and how large its tensors may be.
"""

import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.app.message.arraychunk import ArrayChunk
from flwr.supercore.constant import HEAD_BODY_DIVIDER
from flwr.supercore.inflatable.inflatable_object import (
    get_object_head_values_from_object_content,
)

from fedehr_client.records import from_records
from fedehr_shared.errors import FedehrError, WireError
from fedehr_shared.wire.payload import Payload

MAX_REQUEST_BYTES = 4 * 2**30
MAX_VALUES_BYTES = 64 * 2**20
"""Of a record of values: a study, a vocabulary."""
MAX_ALL_VALUES_BYTES = MAX_VALUES_BYTES + 16 * 2**20
"""Of all records of values together, a contract among them: read, they take several times as much
memory, and some seconds a megabyte."""
MAX_INDEX_BYTES = 2**20
"""Of a part that only names others."""
MAX_NUM_PARTS = 10_000
MAX_NUM_RECORDS = 16
"""Twice as many as fedehr sends."""
_MOST_BYTES = {
    ArrayChunk.__qualname__: MAX_REQUEST_BYTES,
    ConfigRecord.__qualname__: MAX_VALUES_BYTES,
}


Room = Callable[[Payload], int]
"""Bytes of tensors that a request with these values may bring; raises what it is refused by."""


def any_room(_values: Payload) -> int:
    """As many as any request may bring."""
    return MAX_REQUEST_BYTES


@dataclass(frozen=True)
class _Part:
    kind: str
    children: list[str]
    content: bytes

    @property
    def body(self) -> memoryview:
        start = self.content.index(HEAD_BODY_DIVIDER) + len(HEAD_BODY_DIVIDER)
        return memoryview(self.content)[start:]


@dataclass
class RequestReader:
    """Reads one request.

    Attributes:
        pull: gives a part by its SHA-256.
        max_bytes: of all parts together, each as often as it is named.
        room: is asked before the tensors are read.
        num_bytes: read so far.
    """

    pull: Callable[[str], bytes]
    max_bytes: int = MAX_REQUEST_BYTES
    room: Room = any_room
    num_bytes: int = 0
    _num_parts: int = field(default=0, init=False)
    _num_value_bytes: int = field(default=0, init=False)

    def read(self, message_id: str) -> Payload:
        """The request named `message_id`.

        Raises:
            WireError: it is too large, or of a shape that fedehr does not send.
            FedehrError: what `room` raises; of the tensors nothing was kept then.
            TaskLostError: `pull` says that the task is gone.
        """
        try:
            return from_records(self._records(message_id))
        except FedehrError:
            raise
        except Exception as error:
            # Hostile content can make the engine's own reading fail in any way; its text may
            # quote the content.
            raise WireError(
                f"the request is none that fedehr sends ({type(error).__name__})."
            ) from error

    def _records(self, message_id: str) -> RecordDict:
        message = self._part(message_id, Message)
        if len(message.children) != 1:
            raise WireError("the request has no content.")
        records = self._part(message.children[0], RecordDict)
        if len(records.children) > MAX_NUM_RECORDS:
            raise WireError(f"the request has more than {MAX_NUM_RECORDS} records.")
        parts = {name: self._part(name) for name in records.children}
        values = {
            name: ConfigRecord.inflate(part.content)
            for name, part in parts.items()
            if part.kind == ConfigRecord.__qualname__
        }
        tensors = {name: part for name, part in parts.items() if name not in values}
        self._ask_for_room(records, values)
        arrays = {name: self._tensors(part) for name, part in tensors.items()}
        return RecordDict.inflate(records.content, {**values, **arrays})

    def _ask_for_room(self, records: _Part, values: Mapping[str, ConfigRecord]) -> None:
        names = json.loads(bytes(records.body))
        told = {name: values[child] for name, child in names.items() if child in values}
        room = self.room(from_records(RecordDict(dict(told))))
        self.max_bytes = min(self.max_bytes, self.num_bytes + room)

    def _tensors(self, part: _Part) -> ArrayRecord:
        if part.kind != ArrayRecord.__qualname__:
            raise WireError("the request holds a record of a kind that fedehr does not use.")
        arrays = {name: self._array(name) for name in part.children}
        return ArrayRecord.inflate(part.content, dict(arrays))

    def _array(self, object_id: str) -> Array:
        part = self._part(object_id, Array)
        told = json.loads(bytes(part.body))
        names = [part.children[index] for index in told["arraychunk_ids"]]
        data = self._chunks(names)
        return Array(str(told["dtype"]), (len(data),), str(told["stype"]), data)

    def _chunks(self, names: list[str]) -> bytes:
        uses = Counter(names)
        repeated: dict[str, memoryview] = {}
        whole = io.BytesIO()
        for name in names:
            body = repeated.get(name)
            if body is None:
                body = self._part(name, ArrayChunk).body
            else:
                self._count(len(body))
            if uses[name] > 1:
                repeated[name] = body
            whole.write(body)
        return whole.getvalue()

    def _part(self, object_id: str, kind: type | None = None) -> _Part:
        self._num_parts += 1
        if self._num_parts > MAX_NUM_PARTS:
            raise WireError(f"the request has more than {MAX_NUM_PARTS} parts.")
        content = self.pull(object_id)
        self._count(len(content))
        name, children, _ = get_object_head_values_from_object_content(content)
        if kind is not None and name != kind.__qualname__:
            raise WireError("the request holds a part of a kind that fedehr does not use there.")
        most = _MOST_BYTES.get(name, MAX_INDEX_BYTES)
        if len(content) > most:
            raise WireError(f"a part of the request is larger than {most} bytes.")
        if name == ConfigRecord.__qualname__:
            self._num_value_bytes += len(content)
        if self._num_value_bytes > MAX_ALL_VALUES_BYTES:
            raise WireError(
                f"the request's values are larger than {MAX_ALL_VALUES_BYTES} bytes together."
            )
        return _Part(name, children, content)

    def _count(self, num_bytes: int) -> None:
        self.num_bytes += num_bytes
        if self.num_bytes > self.max_bytes:
            raise WireError(
                f"the request is larger than {self.max_bytes} bytes: it has {self.num_bytes} or "
                "more. No more of it was read."
            )
