"""The node's own log: what the supervisor does, with UTC times (RFC 3339), in rotating files."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

from fedehr_client.supervision.log_files import MOST_BYTES, NUM_KEPT
from fedehr_client.utc_formatter import UtcFormatter

LOGGER = "fedehr_client.supervision"


@contextlib.contextmanager
def node_log(file: Path, *, also_standard_error: bool) -> Iterator[None]:
    """Within, the supervisor's log goes to `file`, and to standard error where that is asked.

    Raises:
        OSError: the file cannot be opened.
    """
    handlers: list[logging.Handler] = [_rotating(file)]
    if also_standard_error:
        handlers.append(logging.StreamHandler(sys.stderr))
    logger = logging.getLogger(LOGGER)
    previous = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in handlers:
        handler.setFormatter(UtcFormatter())
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
        logger.level, logger.propagate = previous


class _QuietFile(RotatingFileHandler):
    """A full disk costs lines of the log, and nothing else."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing to say, and nowhere to say it."""


def _rotating(file: Path) -> RotatingFileHandler:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)
    return _QuietFile(file, maxBytes=MOST_BYTES, backupCount=NUM_KEPT, encoding="utf-8")
