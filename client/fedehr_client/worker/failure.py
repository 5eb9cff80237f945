"""`failure_of`: what an exception becomes outside: a documented code and a random reference.

The site's log gets the reason beside the reference. The text of an exception that we did not
raise ourselves is left out: it may quote a record.
"""

import logging
import secrets
import traceback

from fedehr_shared.errors import FedehrError
from fedehr_shared.full_disk import as_storage
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import ErrorReport

log = logging.getLogger("fedehr.client")

WAITING_CODES = frozenset({"not_approved", "held", "busy"})
"""Nothing failed: the coordinator asks again every few seconds."""


def failure_of(error: Exception) -> Payload:
    """Log an exception, and give what may be said of it."""
    error = as_storage(error)
    reference = secrets.token_hex(8)
    if isinstance(error, FedehrError):
        code, reason = error.code, _on_one_line(str(error))
    else:
        places = "".join(traceback.format_tb(error.__traceback__))
        code, reason = "failed", f"{type(error).__name__} at\n{places}"
    level = logging.INFO if code in WAITING_CODES else logging.ERROR
    log.log(level, "code %s, reference %s: %s", code, reference, reason)
    return ErrorReport(code, reference).to_payload()


def _on_one_line(text: str) -> str:
    """A request's own names may be quoted: they must not look like lines of the log."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
