"""`KeptAnswers`: finished answers, until the coordinator asks for what comes next.

    <outbox>/kept/<contract>/<receipt>.answer    the bytes of `SealedBytes`

A line cut in the middle of an upload, or a process killed, then means sending again, and not
training again. An answer without its receipt is none, and is removed.
"""

import shutil
from pathlib import Path

from fedehr_client.outbox.receipt import ID, Receipt
from fedehr_client.outbox.sealed_bytes import SealedBytes
from fedehr_client.private_file import write_private

_SUFFIX = ".answer"


class KeptAnswers:
    """The answers of all contracts of a node."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read or written yet."""
        self.folder = folder

    def keep(self, receipt: Receipt, sealed: SealedBytes) -> None:
        """Write an answer, whole or not at all; the receipt follows it.

        Raises:
            OSError: it cannot be written; then nothing of it is left.
        """
        write_private(self._file(receipt.contract, receipt.id), *sealed.parts)

    def find(self, receipt: Receipt) -> SealedBytes | None:
        """The answer of a receipt; None where it is gone, or not as it was.

        Raises:
            DataError: it cannot be read.
        """
        return SealedBytes.read(self._file(receipt.contract, receipt.id), receipt.sha256)

    def names(self, contract: str) -> list[str]:
        """Receipts whose answers are kept under a contract, the oldest first."""
        folder = self.folder / contract
        if not contract or not folder.is_dir():
            return []
        stems = (file.stem for file in folder.glob(f"*{_SUFFIX}"))
        return sorted(name for name in stems if ID.fullmatch(name))

    def contracts(self) -> list[str]:
        """Contracts under which something is kept."""
        if not self.folder.is_dir():
            return []
        return sorted(folder.name for folder in self.folder.iterdir() if folder.is_dir())

    def empty(self, receipt: Receipt) -> None:
        """Leave a mark in place of an answer that a person refused.

        Raises:
            OSError: it cannot be written.
        """
        write_private(self._file(receipt.contract, receipt.id))

    def drop(self, contract: str, name: str) -> None:
        """Remove an answer.

        Raises:
            OSError: it cannot be removed.
        """
        self._file(contract, name).unlink(missing_ok=True)

    def drop_all(self, contract: str) -> None:
        """Remove all answers of a contract, with what a killed process left half written.

        Raises:
            OSError: they cannot be removed.
        """
        folder = self.folder / contract
        if contract and folder.is_dir():
            shutil.rmtree(folder)

    def drop_partial(self) -> None:
        """Remove what a killed process left half written.

        Raises:
            OSError: it cannot be removed.
        """
        for contract in self.contracts():
            for file in (self.folder / contract).iterdir():
                if not ID.fullmatch(file.stem) or file.suffix != _SUFFIX:
                    file.unlink(missing_ok=True)

    def _file(self, contract: str, name: str) -> Path:
        return self.folder / contract / f"{name}{_SUFFIX}"
