"""What is spent is noted in the background: nothing asked is lost, nothing is noted twice, and
nothing that goes wrong reaches the worker or stays unsaid."""

import contextlib
import logging
import math
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedehr_client.audit.log import Audit
from fedehr_client.ledger.ceiling import Ceiling
from fedehr_client.ledger.charge import planned_charges
from fedehr_client.ledger.ledger import Ledger
from fedehr_client.node.folder import NodeFolder
from fedehr_client.supervision.reckoning import PROGRAM, Reckoning
from fedehr_client.worker.spent_note import SpentNote

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
DELTA = 1e-4
NOISY: dict[str, Any] = {
    "privacy": {"mechanism": "local", "noise_multiplier": 1.0, "target_delta": 1e-5},
}
WAIT_SECONDS = 60.0


@dataclass
class Books:
    """A node's ledger and its audit."""

    node: NodeFolder
    study: Any
    num_charged: int = 0

    def __post_init__(self) -> None:
        ceiling = Ceiling(subject_delta=DELTA)
        self.ledger = Ledger(self.node.config().site.work, ceiling, "north")
        self.audit = Audit(self.node.audit_file)

    def charge(self) -> float:
        """Charge one more round; epsilon of all."""
        self.ledger.reserve(self.study, planned_charges(self.study)[self.num_charged])
        self.num_charged += 1
        return self.ledger.spent()

    def note(self, program: tuple[str, ...] = PROGRAM) -> SpentNote:
        reckoning = Reckoning(self.node, self.node.config().site.work, program=program)
        return SpentNote(self.audit, reckoning)

    @property
    def noted(self) -> list[tuple[str, Any]]:
        lines = [line for line in self.audit.lines() if line["event"] == "epsilon"]
        assert all(line["delta"] == DELTA for line in lines)
        return [(line["contract"], line["subject_epsilon"]) for line in lines]

    def reckonings(self) -> list[psutil.Process]:
        """Those that are under way."""
        found = []
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.cmdline()[-1:] == [str(self.node.path)]:
                    found.append(child)
        return found


@pytest.fixture
def books(contract_office: Any, make_study: Callable[..., Any], tmp_path: Path) -> Books:
    office = contract_office.ContractOffice.open(tmp_path / "pki")
    node = office.node(tmp_path / "node", subject_delta=DELTA)
    return Books(node, make_study(**NOISY))


@dataclass
class Watch:
    """How many reckonings there were at once."""

    books: Books
    most: int = 0
    _ending: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ending.wait(0.01):
            self.most = max(self.most, len(self.books.reckonings()))


def _wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_asked_while_it_reckons_is_noted_after_it_once(books: Books) -> None:
    books.charge()
    note = books.note()
    with Watch(books) as watch:
        note.write(A)
        _wait_for(lambda: bool(books.reckonings()))
        spent = books.charge()
        for contract in (B, C, B, C):
            note.write(contract)
        _wait_for(lambda: len(books.noted) == 2)
        note.close()
    assert watch.most == 1
    assert [contract for contract, _ in books.noted] == [A, C]
    assert books.noted[-1] == (C, spent)


def test_many_threads_that_ask_at_once_lose_nothing(books: Books) -> None:
    spent = books.charge()
    note = books.note()
    begin = threading.Barrier(8)

    def ask() -> None:
        begin.wait()
        note.write(A)

    with Watch(books) as watch:
        threads = [threading.Thread(target=ask) for _ in range(begin.parties)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        note.close(WAIT_SECONDS)
    assert watch.most == 1
    assert books.noted == [(A, spent)]


def test_a_ledger_that_has_not_changed_is_not_noted_again(books: Books) -> None:
    spent = books.charge()
    note = books.note()
    for contract in (A, A, B):
        note.write(contract)
        note.close(WAIT_SECONDS)
    assert books.noted == [(A, spent)]
    more = books.charge()
    note.write(B)
    note.close(WAIT_SECONDS)
    assert books.noted == [(A, spent), (B, more)]


def test_an_epsilon_without_bound_is_noted_as_such(
    books: Books, make_study: Callable[..., Any]
) -> None:
    """The chance of naming a code of one subject alone is larger than the site's delta."""
    books.study = make_study(vocabulary={"noise_epsilon": 1.0, "noise_delta": 1e-3})
    assert books.charge() == math.inf
    note = books.note()
    note.write(A)
    note.close(WAIT_SECONDS)
    assert books.noted == [(A, "infinite")]


BROKEN = {
    "ends badly": ("import sys; sys.exit(3)", "status 3"),
    "is killed": ("import os; os.kill(os.getpid(), 9)", "status -9"),
    "says nothing": ("", "something else"),
    "says nonsense": ("print('much', 'more')", "something else"),
    "says no number": ("print('nan', '1e-5')", "ValueError"),
}


@pytest.mark.parametrize(("code", "said"), BROKEN.values(), ids=BROKEN)
def test_a_reckoning_that_fails_is_logged_and_asked_again(
    books: Books, caplog: pytest.LogCaptureFixture, code: str, said: str, tmp_path: Path
) -> None:
    spent = books.charge()
    mended = tmp_path / "mended"
    program = (
        sys.executable, "-c",
        f"import os, sys\nif os.path.exists({str(mended)!r}): os.execv({PROGRAM[0]!r}, "
        f"[*{PROGRAM!r}, sys.argv[1]])\n{code}",
    )  # fmt: skip
    note = books.note(program)
    note.write(A)
    note.close(WAIT_SECONDS)
    assert books.noted == []
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert line.startswith("what was spent is not in the audit: ")
    assert said in line
    # The ledger is as it was, and is not taken for noted.
    mended.touch()
    note.write(A)
    note.close(WAIT_SECONDS)
    assert books.noted == [(A, spent)]


def test_a_program_that_is_missing_is_said(books: Books, caplog: pytest.LogCaptureFixture) -> None:
    note = books.note((str(books.node.path / "no-such-program"),))
    note.write(A)
    note.close(WAIT_SECONDS)
    assert "No such file" in caplog.text


def test_an_audit_that_cannot_be_written_is_said(
    books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    spent = books.charge()
    books.node.audit_file.mkdir()
    note = books.note()
    note.write(A)
    note.close(WAIT_SECONDS)
    assert "cannot write the audit" in caplog.text
    books.node.audit_file.rmdir()
    note.write(A)
    note.close(WAIT_SECONDS)
    assert books.noted == [(A, spent)]


def test_one_that_does_not_end_is_given_up_with_the_worker(
    books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    note = books.note((sys.executable, "-c", "import time; time.sleep(600)"))
    note.write(A)
    _wait_for(lambda: bool(books.reckonings()))
    begin = time.monotonic()
    note.close(0.2)
    assert time.monotonic() - begin < 5
    assert books.reckonings() == []
    assert "what was spent is not in the audit" in caplog.text
    # A worker that is ending begins none.
    note.write(B)
    note.close(WAIT_SECONDS)
    assert "before the node stopped" in caplog.text
    assert books.noted == []
