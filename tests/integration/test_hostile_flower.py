"""Flower's own messages at both apps: broken bytes are refused, real work is answered."""

import io
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.supercore.task_identity import TaskIdentity

from fedehr_client.app import app as client_app
from fedehr_server.grid import GridTransport, from_records, to_records
from fedehr_shared.errors import ERROR_CODES
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import ErrorReport
from fedehr_shared.wire.vocabulary_payload import report_from_payload
from fedehr_shared.wire.work import Work, WorkId


def _npy(header: str, content: bytes = b"") -> bytes:
    head = f"{header:<117}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + content


def _saved(array: Any, **how: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **how)
    return file.getvalue()


BROKEN: dict[str, Array] = {
    "empty": Array("float32", (2,), "numpy.ndarray", b""),
    "no array": Array("float32", (2,), "numpy.ndarray", b"hello"),
    "a zip": Array("float32", (2,), "numpy.ndarray", b"PK\x03\x04" + b"\0" * 40),
    "an empty zip": Array("float32", (2,), "numpy.ndarray", b"PK\x05\x06" + b"\0" * 18),
    "cut": Array("float32", (2,), "numpy.ndarray", _saved(np.zeros(9, np.float32))[:-5]),
    "half a header": Array("float32", (2,), "numpy.ndarray", _saved(np.zeros(9))[:30]),
    "a pickle": Array(
        "float32", (1,), "numpy.ndarray", _saved(np.asarray([{}]), allow_pickle=True)
    ),
    "a bare pickle": Array("float32", (1,), "numpy.ndarray", b"\x80\x04N."),
    "code as header": Array("float32", (1,), "numpy.ndarray", _npy("__import__('os').getpid()")),
    "a terabyte": Array(
        "float32", (1,), "numpy.ndarray",
        _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (300000000000,), }"),
    ),
    "more than there is": Array(
        "float32", (1,), "numpy.ndarray",
        _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9), }"),
    ),
    "another kind": Array("float32", (2,), "torch.tensor", b"\0" * 8),
    "float64": Array(np.zeros(2)),
    "float32": Array(np.zeros(2, np.float32)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine tells its processes which task they run; messages cannot be made without."""
    for name in ("_run_id", "_task_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


class OneReply:
    """The part of Flower's grid that a transport uses, with replies made here."""

    def __init__(self, content: RecordDict) -> None:
        self._content = content
        self.sent: list[Message] = []

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        self.sent += messages
        return [f"message-{len(self.sent)}"]

    def pull_messages(self, message_ids: list[str]) -> list[Message]:
        replies = []
        for message_id in message_ids:
            request = self.sent[int(message_id.removeprefix("message-")) - 1]
            request.metadata.__dict__["_message_id"] = message_id
            replies.append(Message(self._content, reply_to=request))
        return replies

    def get_node_ids(self) -> list[int]:
        return [7, 9]


def _pulled(transport: GridTransport, num_answers: int) -> list[Any]:
    """Wait for so many."""
    deadline, found = time.monotonic() + 10, []
    while len(found) < num_answers:
        assert time.monotonic() < deadline
        found += transport.pull()
        transport.wait()
    return found


@pytest.mark.parametrize("fault", BROKEN)
def test_a_reply_of_broken_bytes_counts_as_unreadable(fault: str) -> None:
    grid = OneReply(RecordDict({"update": ArrayRecord({"w": BROKEN[fault]})}))
    transport = GridTransport(grid)  # type: ignore[arg-type]
    transport.push(7, Payload())
    assert _pulled(transport, 1) == [(7, None)]
    time.sleep(0.3)
    assert transport.pull() == []


@pytest.mark.parametrize(
    "record", [MetricRecord({"loss": 1.0}), ConfigRecord({"site": b"raw"})], ids=repr
)
def test_a_reply_with_another_record_counts_as_unreadable(record: Any) -> None:
    transport = GridTransport(OneReply(RecordDict({"report": record})))  # type: ignore[arg-type]
    transport.push(7, Payload())
    assert _pulled(transport, 1) == [(7, None)]


def test_only_the_latest_request_to_a_node_is_owed_an_answer() -> None:
    answer = ErrorReport("wire", "r").to_payload()
    grid = OneReply(to_records(answer))
    transport = GridTransport(grid)  # type: ignore[arg-type]
    assert transport.nodes() == {7, 9}
    assert transport.pull() == []
    for node in (7, 9, 7):
        transport.push(node, Payload())
    assert sorted(node for node, _ in _pulled(transport, 2)) == [7, 9]
    time.sleep(0.3)
    assert transport.pull() == []
    assert {m.metadata.message_type for m in grid.sent} == {"query"}
    began = time.monotonic()
    transport.wait()
    assert 0.05 < time.monotonic() - began < 5


@pytest.fixture
def as_simulation(hospitals: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("FEDEHR_SITE_FILE", raising=False)
    monkeypatch.setenv("FEDEHR_SITES_FOLDER", str(hospitals.path))
    monkeypatch.setenv("FEDEHR_WORK_FOLDER", str(tmp_path / "work"))
    monkeypatch.setenv("FEDEHR_MIN_CELL", "5")
    monkeypatch.setenv("FEDEHR_NUM_THREADS", "1")
    return tmp_path / "work"


def _ask(content: RecordDict, partition: Any = 1) -> Payload:
    message = Message(content, dst_node_id=1, message_type="query")
    context = Context(
        run_id=1, node_id=1, node_config={"partition-id": partition, "num-partitions": 3},
        state=RecordDict(), run_config={},
    )  # fmt: skip
    reply = client_app(message, context)
    assert not reply.has_error()
    return from_records(reply.content)


@pytest.mark.usefixtures("as_simulation")
def test_the_client_app_counts_codes_for_its_partition(make_study: Callable[..., Any]) -> None:
    study = make_study()
    work = Work(WorkId(study.digest, "vocabulary", 1, 1), study)
    for partition in range(3):
        report = report_from_payload(_ask(to_records(work.to_payload()), partition))
        assert report.site == f"hospital-{partition + 1}"
        assert report.num_subjects_by_code


@pytest.mark.usefixtures("as_simulation")
@pytest.mark.parametrize("fault", BROKEN)
def test_the_client_app_answers_broken_bytes_with_a_code(fault: str) -> None:
    payload = _ask(RecordDict({"model": ArrayRecord({"w": BROKEN[fault]})}))
    assert set(payload.values) == {"error"}
    assert payload.text("error", "code") in ERROR_CODES
    assert len(payload.text("error", "reference")) == 16


@pytest.mark.usefixtures("as_simulation")
@pytest.mark.parametrize("partition", [3, -1, "1", 1.5, True])
def test_the_client_app_without_a_place_says_so_by_code(
    make_study: Callable[..., Any], partition: Any
) -> None:
    study = make_study()
    work = Work(WorkId(study.digest, "vocabulary", 1, 1), study)
    payload = _ask(to_records(work.to_payload()), partition)
    assert payload.text("error", "code") in {"data", "config"}
    assert payload.tensors == {}


@pytest.mark.usefixtures("as_simulation")
def test_the_client_app_refuses_to_answer_at_a_node(
    make_study: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FEDEHR_SITE_FILE", str(tmp_path / "site.toml"))
    study = make_study()
    work = Work(WorkId(study.digest, "vocabulary", 1, 1), study)
    assert _ask(to_records(work.to_payload())).text("error", "code") == "config"


@pytest.mark.usefixtures("as_simulation")
def test_the_client_app_answers_nothing_at_a_hospitals_node(
    make_study: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """There the sealed worker answers, and no bundle's client app."""
    monkeypatch.setenv("FEDEHR_SITE_FILE", str(tmp_path / "site.toml"))
    study = make_study()
    work = Work(WorkId(study.digest, "vocabulary", 1, 1), study)
    payload = _ask(to_records(work.to_payload()))
    assert payload.text("error", "code") == "config"
    assert (set(payload.values), payload.tensors) == ({"error"}, {})
