"""`Decisions`: what a person says of held answers."""

from fedehr_client.audit import events
from fedehr_client.audit.log import Audit
from fedehr_client.node.folder import NodeFolder
from fedehr_client.outbox.receipt import Receipt
from fedehr_client.outbox.shelf import Shelf
from fedehr_shared.errors import UsageError


class Decisions:
    """The decisions at one node; its programs may run meanwhile, or not."""

    def __init__(self, node: NodeFolder) -> None:
        """Nothing is read or written yet."""
        self._shelf = Shelf(node)
        self._audit = Audit(node.audit_file)

    def release(self, name: str, by: str) -> Receipt:
        """Let a held answer leave, when it is asked for next.

        Args:
            name: of its receipt, or the begin or end of it.
            by: the account that decides.

        Raises:
            UsageError: there is no such receipt, or its answer is not held.
            DataError: it cannot be read or written.
        """
        with self._shelf.alone():
            receipt = self._held(name)
            events.answer_released(self._audit, receipt=receipt.id)
            released = receipt.with_verdict("released", by)
            self._shelf.receipts.write(released)
        return released

    def refuse(self, name: str, by: str) -> Receipt:
        """Keep a held answer from leaving: its bytes are removed.

        Args:
            name: of its receipt, or the begin or end of it.
            by: the account that decides.

        Raises:
            UsageError: there is no such receipt, or its answer is not held.
            DataError: it cannot be read or written.
        """
        with self._shelf.alone():
            receipt = self._held(name)
            events.answer_refused(self._audit, receipt=receipt.id)
            refused = receipt.with_verdict("refused", by)
            self._shelf.receipts.write(refused)
            self._shelf.kept.empty(refused)
        return refused

    def _held(self, name: str) -> Receipt:
        receipt = self._shelf.receipts.named(name)
        if receipt.verdict != "held":
            raise UsageError(f"answer {receipt.id} is {receipt.verdict}: it waits for nobody.")
        return receipt
