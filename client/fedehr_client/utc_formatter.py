"""`UtcFormatter`: a line of any of a node's logs."""

import logging
from datetime import UTC, datetime


class UtcFormatter(logging.Formatter):
    """`2026-11-23T14:05:00.123Z WARNING text`; a text of several lines goes on one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """RFC 3339, in milliseconds."""
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def format(self, record: logging.LogRecord) -> str:
        """One line a record."""
        return super().format(record).replace("\n", "\\n")
