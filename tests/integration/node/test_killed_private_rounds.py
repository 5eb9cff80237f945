"""`kill -9` around a private round at a node: what was reserved stays charged, and an answer that
was drawn is sent again and not drawn, nor charged, a second time."""

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedehr_shared.wire.payload import Payload

pytestmark = pytest.mark.debian

VOCABULARY, ROUND = ("vocabulary", 1), ("pretraining", 1)


def _code(answer: Payload) -> str:
    return str(answer.values.get("error", {}).get("code", ""))


@pytest.fixture
def site(make_private_site: Any) -> Any:
    """Its worker waits for the first round of training."""
    return _begun(make_private_site())


def _begun(site: Any) -> Any:
    assert _code(site.answer(*VOCABULARY)) == ""
    site.wait_for_note()
    return site


def _reserved(site: Any, attempt: int = 1) -> Any:
    """The process that computes, once the round's charge is on the disk."""
    charged = len(site.charged)
    site.ask(*ROUND, attempt)
    child = site.hospital.wait_for_child()
    site.wait_for(lambda: len(site.charged) > charged)
    return child


def _drawn(site: Any) -> list[Path]:
    return list(site.work.glob("answers/*/pretraining-*.answer"))


def _restarted(site: Any, runtime_node: Any, opened: Any) -> None:
    """The worker was killed, and its SuperNode has been started again as the supervisor does."""
    site.hospital.kill()
    back = opened.enter_context(runtime_node.running_node())
    back.content = site.hospital.runtime.content
    site.hospital.runtime = back
    site.hospital.start()


def test_a_child_killed_after_it_reserved_has_paid(site: Any) -> None:
    os.kill(_reserved(site).pid, signal.SIGKILL)
    assert _drawn(site) == []
    site.wait_for(lambda: "the error 'compute'" in site.hospital.log.read_text())
    assert site.charged == [VOCABULARY, ROUND]
    # Nothing of it has left, and it counts.
    paid = site.wait_for_note()
    again = site.answer(*ROUND, 2)
    assert "update" in again.tensors
    assert site.charged == [VOCABULARY, ROUND, ROUND]
    assert site.wait_for_note() > paid
    assert site.answer(*ROUND, 3) == again
    assert site.charged == [VOCABULARY, ROUND, ROUND]


@pytest.mark.long
def test_a_worker_killed_in_the_middle_of_a_round_has_paid_each_time(
    make_private_site: Any, runtime_node: Any, opened: Any
) -> None:
    """The round would take hours: what is charged after the training never would be."""
    endless = {"pretraining": {"rounds": 1, "steps_per_round": 100_000}}
    site = _begun(make_private_site(endless))
    for attempt in (1, 2):
        child = _reserved(site, attempt)
        _restarted(site, runtime_node, opened)
        psutil.wait_procs([child], 10)
        assert not child.is_running()
        assert _drawn(site) == []
        assert site.charged == [VOCABULARY, *[ROUND] * attempt]


def test_what_was_drawn_before_the_worker_was_killed_is_not_drawn_again(
    site: Any, runtime_node: Any, opened: Any
) -> None:
    """Killed first with the answer in its child's hands alone, then with the answer sent."""
    _reserved(site)
    # From here on it takes nothing of its child.
    os.kill(site.hospital.process.pid, signal.SIGSTOP)
    site.wait_for(lambda: bool(_drawn(site)))
    assert not list(site.hospital.folder.outbox.rglob("*pretraining*"))
    _restarted(site, runtime_node, opened)
    first = site.answer(*ROUND, 2)
    assert first.tensors["update"] in _drawn(site)[0].read_bytes()
    _restarted(site, runtime_node, opened)
    assert site.answer(*ROUND, 3) == first
    assert site.charged == [VOCABULARY, ROUND]
    answered = [each for each in site.audit if each["event"] == "round_answered"]
    sent = [line["sha256"] for line in answered if line["phase"] == "pretraining"]
    assert sent == [sent[0]] * 2
    site.wait_for_note()
