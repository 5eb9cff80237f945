"""What is finished is kept, held and sent again, across restarts and kill -9; then it is gone."""

import contextlib
import getpass
import json
import os
import signal
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.audit.log import Audit
from fedehr_client.outbox.decisions import Decisions
from fedehr_client.outbox.outbox import Outbox
from fedehr_client.outbox.receipt import Receipt
from fedehr_shared.errors import (
    BusyError,
    ContractError,
    DataError,
    HeldError,
    PolicyError,
    UsageError,
    WireError,
)
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import ErrorReport


def _kept(outbox_folder: Path) -> list[Path]:
    return [file for file in (outbox_folder / "kept").rglob("*") if file.is_file()]


def _receipts(outbox_folder: Path) -> list[Receipt]:
    files = sorted((outbox_folder / "receipts").iterdir())
    return [Receipt.from_json(file.read_bytes()) for file in files]


def _lines(outbox_folder: Path) -> list[dict[str, Any]]:
    files = sorted((outbox_folder / "sent").iterdir())
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_an_answer_is_sent_again_byte_for_byte_until_the_next_is_asked(
    small_node: Any, small_answer: Callable[..., Any]
) -> None:
    node = small_node()
    first, second = small_answer(1), small_answer(2)
    sealed = Outbox(node).seal(first.admitted, first.answer)
    again = replace(first.admitted, work_id=replace(first.admitted.work_id, attempt=2), run_id=8)
    for _ in range(2):  # each a program started anew
        assert Outbox(node).kept(again) == sealed
    (file,) = _kept(node.outbox)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    Outbox(node).sent(again)
    assert Outbox(node).kept(second.admitted) is None  # so the first has arrived
    assert _kept(node.outbox) == []
    outbox = Outbox(node)
    outbox.seal(second.admitted, second.answer)
    outbox.acknowledge(second.admitted.contract_digest)
    assert _kept(node.outbox) == []
    assert list((node.outbox / "kept").iterdir()) == []
    lines = _lines(node.outbox)
    assert [line["work"][-1] for line in lines] == ["1", "2", "2", "1"]
    assert len({line["receipt"] for line in lines}) == 2
    answered = [
        line for line in Audit(node.audit_file).lines() if line["event"] == "round_answered"
    ]
    assert [line["sha256"] for line in answered] == [_receipts(node.outbox)[0].sha256]


def test_what_was_damaged_on_the_disk_is_not_sent(small_node: Any, small_answer: Any) -> None:
    node, one = small_node(), small_answer(1)
    for harm in (lambda b: b[:-1], lambda b: b + b"x", lambda b: b.replace(b"loss", b"liss"),
                 lambda b: b"", lambda b: b"[[" * 9_000):  # fmt: skip
        outbox = Outbox(node)
        outbox.seal(one.admitted, one.answer)
        (file,) = _kept(node.outbox)
        file.write_bytes(harm(file.read_bytes()))
        assert Outbox(node).kept(one.admitted) is None
        assert _kept(node.outbox) == []
    Outbox(node).seal(one.admitted, one.answer)
    for file in (node.outbox / "receipts").iterdir():
        file.unlink()
    assert Outbox(node).kept(one.admitted) is None  # nothing leaves without a receipt


def test_a_held_answer_waits_for_a_person(small_node: Any, small_answer: Any) -> None:
    node, one = small_node("hold = true"), small_answer(1)
    with pytest.raises(HeldError):
        Outbox(node).seal(one.admitted, one.answer)
    for _ in range(2):
        with pytest.raises(HeldError):
            Outbox(node).kept(one.admitted)
    assert not (node.outbox / "sent").exists()
    (receipt,) = _receipts(node.outbox)
    assert receipt.verdict == "held"
    Decisions(node).release(receipt.id[-6:], getpass.getuser())
    assert Outbox(node).kept(one.admitted) == one.answer
    (receipt,) = _receipts(node.outbox)
    assert (receipt.verdict, receipt.decided_by) == ("released", getpass.getuser())
    with pytest.raises(UsageError, match="released"):
        Decisions(node).refuse(receipt.id, "ada")
    events = [line["event"] for line in Audit(node.audit_file).lines()]
    assert events == ["answer_held", "answer_released"]


def test_a_refused_answer_never_leaves(small_node: Any, small_answer: Any) -> None:
    node, one = small_node("hold = true"), small_answer(1)
    with pytest.raises(HeldError):
        Outbox(node).seal(one.admitted, one.answer)
    Decisions(node).refuse(_receipts(node.outbox)[0].id, "ada")
    assert [file.stat().st_size for file in _kept(node.outbox)] == [0]
    small_node("hold = false")
    for _ in range(2):
        with pytest.raises(PolicyError) as refused:
            Outbox(node).kept(one.admitted)
        assert refused.value.code == "policy"
    assert Outbox(node).kept(small_answer(2).admitted) is None
    assert _kept(node.outbox) == []


def test_a_held_answer_that_nobody_asks_for_any_more_is_gone(
    small_node: Any, small_answer: Any
) -> None:
    node, one = small_node("hold = true"), small_answer(1)
    with pytest.raises(HeldError):
        Outbox(node).seal(one.admitted, one.answer)
    Outbox(node).acknowledge(one.admitted.contract_digest)
    (receipt,) = _receipts(node.outbox)
    assert receipt.verdict == "outdated"
    with pytest.raises(UsageError, match="outdated"):
        Decisions(node).release(receipt.id, "ada")


def test_two_requests_of_one_round_are_two_answers(small_node: Any, small_answer: Any) -> None:
    """Another run may ask the same round from other weights."""
    node, one = small_node(), small_answer(1)
    Outbox(node).seal(one.admitted, one.answer)
    other = replace(one.admitted, request_digest="e" * 64)
    assert Outbox(node).kept(other) is None


@pytest.mark.parametrize("hold", ["hold = false", "hold = true"])
def test_kill_9_at_every_write_leaves_all_or_nothing(
    hold: str, small_node: Any, small_answer: Any
) -> None:
    node, one = small_node(hold), small_answer(1)
    kills, outcomes = 0, set()
    for number in range(1, 60):
        is_killed = _seal_and_die(node, one, at=number)
        outbox = Outbox(node)
        try:
            kept = outbox.kept(one.admitted)
            outcomes.add("nothing" if kept is None else "kept")
            assert kept is None or kept == one.answer
        except HeldError:
            outcomes.add("held")
        lines = _lines(node.outbox) if (node.outbox / "sent").exists() else []
        names = {receipt.id for receipt in _receipts(node.outbox)} if _has(node) else set()
        assert {line["receipt"] for line in lines} <= names  # nothing left without a receipt
        Audit(node.audit_file).verify()
        outbox.acknowledge(one.admitted.contract_digest)
        assert _kept(node.outbox) == []
        if not is_killed:
            break
        kills += 1
    assert kills >= 5
    assert {"nothing", "kept" if hold.endswith("false") else "held"} <= outcomes


def _has(node: Any) -> bool:
    return (node.outbox / "receipts").is_dir()


def _seal_and_die(node: Any, one: Any, *, at: int) -> bool:
    """Seal in a process that is killed at its `at`-th write to the disk; whether it came so far."""
    process = os.fork()
    if process == 0:
        done = 0
        real_sync = os.fsync

        def sync(descriptor: int) -> None:
            nonlocal done
            done += 1
            if done == at:
                os.kill(os.getpid(), signal.SIGKILL)
            real_sync(descriptor)

        os.fsync = sync
        try:
            Outbox(node).seal(one.admitted, one.answer)
        except HeldError:
            os._exit(0)
        finally:
            os._exit(0)
    _, status = os.waitpid(process, 0)
    return os.WIFSIGNALED(status)


def test_a_restart_takes_no_bytes_off_the_day(small_node: Any, small_answer: Any) -> None:
    node, one, two = small_node(), small_answer(1), small_answer(2)
    begin = datetime.now(UTC) - timedelta(seconds=1)
    Outbox(node).seal(one.admitted, one.answer)
    spent = one.answer.num_bytes
    assert Outbox(node).bytes_since(begin) == spent
    Outbox(node).kept(one.admitted)  # sent again: twice the bytes
    assert Outbox(node).bytes_since(begin) == 2 * spent
    assert Outbox(node).bytes_since(datetime.now(UTC) + timedelta(seconds=1)) == 0
    small_node(max_bytes_per_day=3 * spent - 1)
    with pytest.raises(BusyError, match="max_bytes_per_day"):
        Outbox(node).kept(one.admitted)
    with pytest.raises(BusyError):
        Outbox(node).seal(two.admitted, two.answer)
    small_node(max_bytes_per_day=10 * spent)
    assert Outbox(node).kept(two.admitted) == two.answer  # it waited, and was not computed again
    file = next((node.outbox / "sent").iterdir())
    file.write_text(file.read_text().replace(f'"num_bytes": {spent}', '"num_bytes": 1', 1))
    with pytest.raises(DataError, match="does not follow"):
        Outbox(node).kept(two.admitted)


def test_bytes_beyond_the_contract_are_stopped(small_node: Any, small_answer: Any) -> None:
    node, one, two = small_node(), small_answer(1), small_answer(2)
    size = one.answer.num_bytes
    less = one.admitted.contract.model_copy(update={"max_answer_bytes": {"pretraining": size - 1}})
    with pytest.raises(ContractError, match="allows"):
        Outbox(node).seal(replace(one.admitted, contract=less), one.answer)
    once = one.admitted.contract.model_copy(update={"max_run_bytes": size + 10})
    Outbox(node).seal(replace(one.admitted, contract=once), one.answer)
    Outbox(node).kept(replace(one.admitted, contract=once))  # sent again, counted once
    with pytest.raises(ContractError, match="would have sent"):
        Outbox(node).seal(replace(two.admitted, contract=once), two.answer)
    twice = once.model_copy(update={"num_runs": 2})
    Outbox(node).seal(replace(two.admitted, contract=twice), two.answer)


def test_an_update_longer_than_its_bound_is_stopped(small_node: Any, small_answer: Any) -> None:
    node, one = small_node(), small_answer(1)
    norm = _norm(node, one)
    for bound, passes in ((norm * 1.0001, True), (norm * 0.99, False)):
        contract = one.admitted.contract.model_copy(update={"max_update_norm": bound})
        asked = replace(one.admitted, contract=contract)
        if passes:
            Outbox(node).seal(asked, one.answer)
        else:
            with pytest.raises(ContractError, match="long"):
                Outbox(node).seal(asked, one.answer)
            assert _receipts(node.outbox)[-1].verdict == "stopped"


def _norm(node: Any, one: Any) -> float:
    Outbox(node).seal(one.admitted, one.answer)
    norm = _receipts(node.outbox)[0].norm
    assert norm is not None
    return norm


def test_errors_are_a_code_and_a_reference(small_node: Any, small_answer: Any) -> None:
    node, one = small_node(), small_answer(1)
    outbox = Outbox(node)
    mine = ErrorReport("busy", "0123456789abcdef").to_payload()
    assert outbox.seal_error(mine, one.admitted) == mine
    assert outbox.seal_error(mine, None) == mine
    told = outbox.seal(one.admitted, ErrorReport("training", "feedfacefeedface").to_payload())
    assert told.values["error"]["code"] == "training"
    assert told.values["error"]["reference"] != "feedfacefeedface"  # drawn by who computes
    assert outbox.seal_error(told, one.admitted) == told  # handed on by the desk: one line
    lines = _lines(node.outbox)
    assert [line["code"] for line in lines] == ["busy", "busy", "training"]
    assert lines[2]["inner"] == "feedfacefeedface"
    for values in (
        {"code": "Smith", "reference": "0" * 16},
        {"code": "failed", "reference": "Mrs Smith 1950 a"},
        {"code": "failed", "reference": "0" * 17},
        {"code": "failed"},
        {"code": "failed", "reference": "0" * 16, "text": "x"},
        {"code": ["failed"], "reference": "0" * 16},
    ):
        with pytest.raises(WireError):
            outbox.seal_error(Payload(values={"error": values}), one.admitted)  # type: ignore[dict-item]
    beside = replace(mine, tensors={"update": b"x"})
    with pytest.raises(WireError):
        outbox.seal(one.admitted, beside)
    assert len(_lines(node.outbox)) == 3


def test_notices_say_a_name_and_a_state(small_node: Any) -> None:
    node = small_node()
    outbox, site = Outbox(node), node.config().site.name
    for good in ({"proposal": {"site": site, "state": "waiting"}}, {"end": {"site": site}}):
        payload = Payload(values=good)  # type: ignore[arg-type]
        assert outbox.seal_state(payload) == payload
    for bad in (
        {"proposal": {"site": "Smith", "state": "waiting"}},
        {"proposal": {"site": site, "state": "Smith"}},
        {"proposal": {"site": site, "state": "waiting", "note": "x"}},
        {"end": {"site": site, "note": 1}},
        {"end": {"site": site}, "more": {"a": 1}},
    ):
        with pytest.raises(WireError):
            outbox.seal_state(Payload(values=bad))  # type: ignore[arg-type]
    assert [line["state"] for line in _lines(node.outbox)] == ["waiting", "ended"]


def test_receipts_are_kept_as_long_as_the_site_says(small_node: Any, small_answer: Any) -> None:
    node, one = small_node("receipt_days = 30"), small_answer(1)
    Outbox(node).seal(one.admitted, one.answer)
    (file,) = (node.outbox / "receipts").iterdir()
    old = file.with_name(f"20200101T000000000Z-{'a' * 16}.json")
    old.write_bytes(file.read_bytes())
    (node.outbox / "sent" / "2020-01-01.jsonl").write_text("")
    Outbox(node).kept(small_answer(2).admitted)
    Outbox(node).seal(small_answer(2).admitted, small_answer(2).answer)
    assert not old.exists()
    assert len(list((node.outbox / "receipts").iterdir())) == 2
    assert len(list((node.outbox / "sent").iterdir())) == 1


@pytest.mark.parametrize("hold", ["hold = false", "hold = true"])
@pytest.mark.parametrize("written", ["data/0.parquet", "metadata/withdrawn.json"])
def test_what_is_older_than_the_records_does_not_leave(
    hold: str, written: str, small_node: Any, small_answer: Any
) -> None:
    """Somebody may have been erased meanwhile, whose events are in it."""
    node, one = small_node(hold), small_answer(1)
    file = node.config().site.records / written
    (file.parent.parent / "data").mkdir(parents=True)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"before")
    with contextlib.suppress(HeldError):
        Outbox(node).seal(one.admitted, one.answer)
    with contextlib.suppress(HeldError):
        assert Outbox(node).kept(one.admitted) == one.answer
    later = time.time() + 1
    os.utime(file, (later, later))
    assert Outbox(node).kept(one.admitted) is None
    assert _kept(node.outbox) == []
    (receipt,) = _receipts(node.outbox)
    assert receipt.verdict == ("passed" if hold.endswith("false") else "outdated")


def test_what_waited_for_the_bytes_of_the_day_is_held_once_people_want_to_look(
    small_node: Any, small_answer: Any
) -> None:
    node, one, two = small_node(), small_answer(1), small_answer(2)
    Outbox(node).seal(one.admitted, one.answer)
    small_node("hold = true")
    assert Outbox(node).kept(one.admitted) == one.answer  # it had left before
    small_node(max_bytes_per_day=2 * one.answer.num_bytes + 1)
    with pytest.raises(BusyError):
        Outbox(node).seal(two.admitted, two.answer)
    small_node("hold = true")
    for _ in range(2):
        with pytest.raises(HeldError):
            Outbox(node).kept(two.admitted)
    Decisions(node).release(_receipts(node.outbox)[1].id, "ada")
    assert Outbox(node).kept(two.admitted) == two.answer
    events = [line["event"] for line in Audit(node.audit_file).lines()]
    assert events == ["answer_held", "answer_released"]
