"""`keep_to_one_line`: one line a record of the engine's log.

The engine writes texts of the coordinator into its log as they come: a round's name may hold line
breaks and whatever else its own lines hold. The supervisor reads that log, so here every record
becomes one line, in which only the engine itself can have put an escape character.
"""

import logging
import sys
import threading
import traceback
from types import TracebackType

from flwr.supercore.logger import FLOWER_LOGGER, console_handler

MOST_CHARACTERS = 4_000
"""Of a record: one call writes it, so that whoever reads along never sees half of it; and no text
of the coordinator's fills the log."""


class OneLine(logging.Filter):
    """Writes what cannot be printed, line breaks among it, as `?`, as the worker's log does."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change a record; none is left out."""
        parts = [record.getMessage()]
        if record.exc_info and record.exc_info[0] is not None:
            parts.append("".join(traceback.format_exception(*record.exc_info)))
        record.msg, record.args = one_line(" ".join(parts)), ()
        record.exc_info = record.exc_text = record.stack_info = None
        return True


def one_line(text: str) -> str:
    """A text as one printable line, cut where it is very long."""
    told = " | ".join(text[: 2 * MOST_CHARACTERS].splitlines())[:MOST_CHARACTERS]
    return "".join(letter if letter.isprintable() else "?" for letter in told)


def keep_to_one_line() -> None:
    """Change the engine's log in this process, and how errors that nobody caught are told."""
    console_handler.addFilter(OneLine())
    sys.excepthook = _tell
    threading.excepthook = _tell_thread


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Of an error that nobody caught: as a record, not as lines that anybody could have written."""
    if issubclass(kind, KeyboardInterrupt):
        return
    FLOWER_LOGGER.error("an error ended a thread:", exc_info=(kind, error, trace))


def _tell_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not issubclass(ended.exc_type, SystemExit):
        _tell(ended.exc_type, ended.exc_value, ended.exc_traceback)
