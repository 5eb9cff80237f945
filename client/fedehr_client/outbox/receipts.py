"""`Receipts`: the folder of receipts, one file each, kept as long as `[outbox] receipt_days`."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fedehr_client.outbox.receipt import ID, Receipt
from fedehr_client.private_file import write_private
from fedehr_shared.errors import DataError, UsageError

log = logging.getLogger("fedehr.client")

NUM_SHOWN = 8
"""Last digits of an id, as a list shows it."""


class Receipts:
    """`<outbox>/receipts/<id>.json`."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read or written yet."""
        self.folder = folder

    def write(self, receipt: Receipt) -> None:
        """Write a receipt, or write it anew after a decision; whole or not at all.

        Raises:
            OSError: it cannot be written; then it is as it was.
        """
        text = json.dumps(receipt.to_json(), indent=1, allow_nan=False)
        write_private(self._file(receipt.id), text.encode() + b"\n")

    def find(self, name: str) -> Receipt | None:
        """The receipt of that id; None where there is none.

        Raises:
            DataError: it cannot be read, or is damaged.
        """
        try:
            return Receipt.from_json(self._file(name).read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(
                f"cannot read {self._file(name)}: {error.strerror}. Check its permissions."
            ) from error

    def named(self, name: str) -> Receipt:
        """The one receipt whose id, or the end of it that a list shows, begins or ends like this.

        Raises:
            UsageError: there is none, or there are several.
            DataError: it cannot be read, or is damaged.
        """
        found = [one for one in self.names() if _is_meant(one, name)]
        if len(found) != 1:
            told = "several receipts" if found else "no receipt"
            raise UsageError(
                f"{told} of that id: {name}. `fedehr-client outbox list DIR` names them."
            )
        receipt = self.find(found[0])
        if receipt is None:
            raise UsageError(f"no receipt of that id: {name}. It was removed meanwhile.")
        return receipt

    def names(self) -> list[str]:
        """All ids, the oldest first."""
        if not self.folder.is_dir():
            return []
        names = (file.stem for file in self.folder.glob("*.json"))
        return sorted(name for name in names if ID.fullmatch(name))

    def all(self) -> Iterator[Receipt]:
        """All receipts, the oldest first; a damaged one is told of in the log.

        Raises:
            DataError: one cannot be read.
        """
        for name in self.names():
            try:
                receipt = self.find(name)
            except DataError as error:
                log.warning("receipt %s: %s", name, error)
                continue
            if receipt is not None:
                yield receipt

    def forget_before(self, num_days: int) -> None:
        """Remove receipts that are older.

        Raises:
            OSError: they cannot be removed.
        """
        oldest = f"{datetime.now(UTC) - timedelta(days=num_days):%Y%m%dT%H%M%S}"
        for name in self.names():
            if name >= oldest:
                return
            self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _is_meant(receipt_id: str, name: str) -> bool:
    return any(
        part.startswith(name) or part.endswith(name)
        for part in (receipt_id, receipt_id[-NUM_SHOWN:])
    )
