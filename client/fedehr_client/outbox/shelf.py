"""`Shelf`: an outbox's files, and the lock under which they change together."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from fedehr_client.contracts.admitted import Admitted
from fedehr_client.node.folder import NodeFolder
from fedehr_client.outbox.kept_answers import KeptAnswers
from fedehr_client.outbox.receipt import Receipt
from fedehr_client.outbox.receipts import Receipts
from fedehr_client.outbox.repeats import Repeats
from fedehr_client.outbox.reserve import Reserve
from fedehr_client.outbox.sendings import Sending, Sendings
from fedehr_shared.errors import DataError
from fedehr_shared.tokens.build_lock import build_lock

log = logging.getLogger("fedehr.client")


class Shelf:
    """The files of one node.

    Attributes:
        receipts: what each answer was.
        sendings: what left, and when.
        kept: finished answers.
    """

    def __init__(self, node: NodeFolder) -> None:
        """Nothing is read or written yet."""
        self._node = node
        self._folder = node.outbox
        self._reserve = Reserve(node.outbox / "reserve")
        self.receipts = Receipts(node.outbox / "receipts")
        self.sendings = Sendings(node.outbox / "sent", self._reserve)
        self.kept = KeptAnswers(node.outbox / "kept")
        self._is_swept = False
        self._waiting: list[Sending] = []
        self._repeats = Repeats()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time changes the outbox.

        Raises:
            DataError: it cannot be read or written.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with build_lock(self._folder):
                yield
        except OSError as error:
            raise DataError(
                f"cannot write the outbox {self._folder}: {error.strerror}. Free the disk or mend "
                "its permissions; nothing was sent that has no receipt."
            ) from error

    def make_ready(self) -> None:
        """Before an answer is sealed: the reserve is filled, and once a process what is past its
        days goes, with what a killed process left.

        Raises:
            OSError: something cannot be removed or written.
            DataError: something cannot be read.
        """
        self._reserve.fill()
        if self._is_swept:
            return
        num_days = self._node.config().outbox.receipt_days
        self.receipts.forget_before(num_days)
        self.sendings.forget_before(num_days)
        self.kept.drop_partial()
        for contract in self.kept.contracts():
            for name in self.kept.names(contract):
                if self.receipts.find(name) is None:
                    self.kept.drop(contract, name)
        self._is_swept = True

    def receipt_of(self, admitted: Admitted) -> Receipt | None:
        """The receipt of the answer kept for a request; what is kept of others goes.

        Raises:
            OSError: something cannot be removed or written.
            DataError: something cannot be read.
        """
        found = None
        for name in self.kept.names(admitted.contract_digest):
            receipt = self.receipts.find(name)
            if receipt is not None and receipt.request == admitted.request_digest:
                found = receipt
            else:
                self.drop(admitted.contract_digest, name)
        return found

    def drop(self, contract: str, name: str) -> None:
        """Remove a kept answer; one that waited for a person waits no more.

        Raises:
            OSError: something cannot be removed or written.
            DataError: its receipt cannot be read.
        """
        receipt = self.receipts.find(name)
        if receipt is not None and receipt.verdict == "held":
            self.receipts.write(receipt.with_verdict("outdated"))
        self.kept.drop(contract, name)

    @property
    def num_counted_bytes(self) -> int:
        """That left and are in no line yet: repeated error replies and notices."""
        return self._repeats.num_bytes + sum(line.num_bytes for line in self._waiting)

    def tell(self, sending: Sending) -> None:
        """Write a line of an error now, or as soon as there is room; a repetition is counted."""
        if not self._repeats.counts(sending):
            self._waiting.append(sending)
            self._repeats.wrote(sending)
        self._try_to_write()

    def tell_notice(self, sending: Sending) -> None:
        """Write a line of a notice before it leaves; a repetition is counted.

        Raises:
            OSError: it cannot be written.
        """
        self.write_waiting()
        if not self._repeats.counts(sending):
            self.sendings.add(sending)
            self._repeats.wrote(sending)

    def tell_counted(self) -> None:
        """Write lines for all that is only counted, as before this process ends."""
        self._waiting += self._repeats.due(all_of_them=True)
        self._try_to_write()

    def write_waiting(self) -> None:
        """Write the lines that found no room before, and those that are due.

        Raises:
            OSError: there is no room yet.
        """
        self._waiting += self._repeats.due()
        while self._waiting:
            self.sendings.add(self._waiting[0])
            del self._waiting[0]

    def _try_to_write(self) -> None:
        try:
            with self.alone():
                self.write_waiting()
        except DataError as error:
            log.warning("%s (%d lines wait)", error, len(self._waiting))
