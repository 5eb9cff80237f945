"""A full disk is an error reply: nothing is lost, and nothing leaves without a receipt."""

import os
import resource
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.node.folder import NodeFolder
from fedehr_client.outbox.answer_check import error_code
from fedehr_client.outbox.outbox import Outbox
from fedehr_client.outbox.sendings import Sending
from fedehr_client.outbox.shelf import Shelf
from fedehr_client.worker.failure import failure_of
from fedehr_shared.errors import DataError, StorageError
from fedehr_shared.wire.reports import ErrorReport

_NUM_BYTES = 1_200_000
ERROR = ErrorReport("data", "0123456789abcdef").to_payload()


@pytest.fixture
def node_on(small_disk: Callable[[int], Path], small_node: Callable[..., NodeFolder]) -> NodeFolder:
    """A node on a disk of a megabyte."""
    node = NodeFolder(small_disk(_NUM_BYTES) / "node")
    node.path.mkdir()
    node.site_file.write_text(small_node().site_file.read_text())
    return node


def _lines(node: NodeFolder) -> list[Sending]:
    """As written down; what a full disk left of a line is none."""
    return list(Shelf(node).sendings.all())


def test_an_answer_that_finds_no_room_is_not_sent(
    fill_disk: Callable[..., Path], node_on: NodeFolder, small_answer: Any
) -> None:
    outbox, one, two = Outbox(node_on), small_answer(1), small_answer(2)
    outbox.seal(one.admitted, one.answer)
    filler = fill_disk(node_on.path.parent, left=two.answer.num_bytes // 2)
    before = sorted(file for file in node_on.outbox.rglob("*") if file.is_file())
    with pytest.raises(DataError, match="nothing was sent that has no receipt") as refused:
        outbox.seal(two.admitted, two.answer)
    assert error_code(failure_of(refused.value)) == "storage"
    assert sorted(file for file in node_on.outbox.rglob("*") if file.is_file()) == before
    assert Outbox(node_on).kept(one.admitted) == one.answer
    outbox.seal_error(ERROR, two.admitted)
    filler.unlink()
    assert outbox.seal(two.admitted, two.answer) == two.answer
    assert [line.kind for line in _lines(node_on)] == ["answer", "answer", "error", "answer"]


def test_what_could_not_be_kept_is_not_begun(
    fill_disk: Callable[..., Path], node_on: NodeFolder, small_answer: Any
) -> None:
    outbox, one = Outbox(node_on), small_answer(1)
    outbox.require_room(one.admitted)
    filler = fill_disk(node_on.path.parent, left=one.answer.num_bytes // 2)
    before = sorted(node_on.outbox.rglob("*"))
    with pytest.raises(StorageError, match=r"bytes are needed below .*/outbox, and its disk has"):
        outbox.require_room(one.admitted)
    assert sorted(node_on.outbox.rglob("*")) == before
    filler.unlink()
    outbox.require_room(one.admitted)


def test_errors_find_room_on_a_disk_that_has_none(
    fill_disk: Callable[..., Path], node_on: NodeFolder, small_answer: Any
) -> None:
    outbox, one = Outbox(node_on), small_answer(1)
    outbox.seal(one.admitted, one.answer)
    filler = fill_disk(node_on.path.parent, left=0)
    spent = outbox.bytes_since(datetime.now(UTC) - timedelta(hours=1))
    for number in range(40):
        reply = ErrorReport("data", f"{number:016x}").to_payload()
        # Of a kind of its own: the same twice would be counted in one line.
        asked = replace(one.admitted, work_id=replace(one.admitted.work_id, attempt=number + 1))
        assert outbox.seal_error(reply, asked) == reply
    lines = [line for line in _lines(node_on) if line.kind == "error"]
    assert [line.reference for line in lines] == [f"{number:016x}" for number in range(40)]
    assert outbox.bytes_since(datetime.now(UTC) - timedelta(hours=1)) > spent
    filler.unlink()
    outbox.seal(one.admitted, one.answer)
    assert (node_on.outbox / "reserve").exists()


def test_lines_that_find_no_room_at_all_are_written_later(
    small_node: Callable[..., NodeFolder], small_answer: Any
) -> None:
    """Where files may not grow, as with a quota; in a process of its own, which it limits."""
    node, one, two = small_node(), small_answer(1), small_answer(2)
    outbox = Outbox(node)
    outbox.seal(one.admitted, one.answer)
    process = os.fork()
    if process == 0:
        os._exit(_try_without_room(outbox, node, one, two))
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    kinds = [line.kind for line in _lines(node)]
    assert kinds == ["answer", "error", "error", "answer"]


def _try_without_room(outbox: Outbox, node: NodeFolder, one: Any, two: Any) -> int:
    """0 where all went as it should; no exception may reach pytest in this process."""
    try:
        (file,) = (node.outbox / "sent").iterdir()
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 20, before[1]))
        for admitted in (one.admitted, two.admitted):
            outbox.seal_error(ERROR, admitted)
        for asked in (lambda: outbox.seal(two.admitted, two.answer),
                      lambda: outbox.kept(one.admitted)):  # fmt: skip
            try:
                asked()
            except DataError:
                continue
            return 1
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        return 0 if outbox.kept(one.admitted) == one.answer else 2
    except BaseException:
        return 3
