"""`Sendings`: a line for everything that left, or began to: answers, errors, notices.

    <outbox>/sent/2026-11-23.jsonl    one file a day, UTC; lines chained as in the audit

The line is on the disk before the answer leaves, so that no restart takes an answer's bytes off
the day's account. An error reply has no other receipt than its line, which may stand for many.
"""

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from fedehr_client.chained_file import ChainedFile, append, last_digest, next_line
from fedehr_client.outbox.reserve import Reserve
from fedehr_shared.errors import DataError

log = logging.getLogger("fedehr.client")

Kind = Literal["answer", "error", "notice"]


@dataclass(frozen=True)
class Sending:
    """One line.

    Attributes:
        time: when it left, UTC.
        kind: `answer`: of a round. `error`: a code and a reference. `notice`: what the site says
            of a proposal or of an end.
        num_bytes: as ceilings count them.
        contract: the digest of the contract; empty where none is known.
        work: `phase/round/attempt`; empty where there is none.
        receipt: of an answer, its receipt.
        code: of an error.
        reference: of an error, as the coordinator is told it.
        inner: the reference under which the process that computes logged its reason.
        state: of a notice.
        num: how many the line stands for; the others said the same before (`repeats.py`), and
            `num_bytes` is of them all.
    """

    time: str
    kind: Kind
    num_bytes: int
    contract: str = ""
    work: str = ""
    receipt: str = ""
    code: str = ""
    reference: str = ""
    inner: str = ""
    state: str = ""
    num: int = 1


@dataclass(frozen=True)
class _Left:
    """An answer's bytes, and how often they left."""

    num_bytes: int
    num: int


_Answers = dict[str, dict[str, _Left]]
"""By contract and receipt."""


class Sendings:
    """The files of one node; one process adds to them."""

    def __init__(self, folder: Path, reserve: Reserve) -> None:
        """Nothing is read or written yet."""
        self.folder = folder
        self._reserve = reserve
        self._answers: _Answers | None = None

    def add(self, sending: Sending) -> None:
        """Add a line; it is on the disk when this returns.

        Raises:
            OSError: it cannot be written, and the reserve is used up.
        """
        try:
            self._add(sending)
        except OSError as error:
            if not self._reserve.give_up(error):
                raise
            self._add(sending)
        if self._answers is not None:
            _count(self._answers, sending)

    def bytes_since(self, time: datetime) -> int:
        """Bytes that left since then, errors included.

        Raises:
            DataError: a file cannot be read, or was changed: then there is no account.
        """
        found = self.all(since=time.astimezone(UTC).date())
        return sum(one.num_bytes for one in found if datetime.fromisoformat(one.time) >= time)

    def answer_bytes(self, contract: str) -> int:
        """Bytes of a contract's answers, each counted once however often it was sent.

        Raises:
            DataError: as `bytes_since`.
        """
        return sum(left.num_bytes for left in self._counted().get(contract, {}).values())

    def has_left(self, contract: str, receipt: str) -> bool:
        """Whether an answer left, or began to.

        Raises:
            DataError: as `bytes_since`.
        """
        return self.num_sent(contract, receipt) > 0

    def num_sent(self, contract: str, receipt: str) -> int:
        """How often an answer left, or began to.

        Raises:
            DataError: as `bytes_since`.
        """
        left = self._counted().get(contract, {}).get(receipt)
        return 0 if left is None else left.num

    def all(self, since: date | None = None) -> Iterator[Sending]:
        """All lines, the oldest first.

        Raises:
            DataError: as `bytes_since`.
        """
        for file in self._files():
            if since is not None and file.stem < since.isoformat():
                continue
            for line in ChainedFile(file, "the account of what left").lines():
                if line.content is not None:
                    yield _sending(line.content, file)

    def forget_before(self, num_days: int) -> None:
        """Remove days that are older.

        Raises:
            OSError: they cannot be removed.
        """
        oldest = (datetime.now(UTC) - timedelta(days=num_days)).date().isoformat()
        for file in self._files():
            if file.stem < oldest:
                file.unlink(missing_ok=True)

    def _counted(self) -> _Answers:
        if self._answers is None:
            answers: _Answers = {}
            for sending in self.all():
                _count(answers, sending)
            self._answers = answers
        return self._answers

    def _add(self, sending: Sending) -> None:
        file = self.folder / f"{sending.time[:10]}.jsonl"
        told = {key: value for key, value in asdict(sending).items() if value not in {"", None}}
        if sending.num == 1:
            del told["num"]
        with ChainedFile(file, "the account of what left").opened() as stream:
            append(stream, [next_line(told, last_digest(stream))])

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("????-??-??.jsonl")) if self.folder.is_dir() else []


def _sending(content: dict[str, Any], file: Path) -> Sending:
    try:
        return Sending(**{key: value for key, value in content.items() if key != "previous"})
    except TypeError as error:
        raise DataError(
            f"a line of {file} is of another version. Move the file away; the bytes of that day "
            "are then not counted."
        ) from error


def _count(answers: _Answers, sending: Sending) -> None:
    if sending.kind == "answer":
        left = answers.setdefault(sending.contract, {})
        num = left[sending.receipt].num + 1 if sending.receipt in left else 1
        left[sending.receipt] = _Left(sending.num_bytes, num)
