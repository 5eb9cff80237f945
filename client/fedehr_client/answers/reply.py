"""`reply_to`: an answer, or a code and a random reference; never a text, never an exception.

An exception that left the app would travel as text, with whatever it quotes.
"""

import logging
import secrets
import traceback
from collections.abc import Callable

from fedehr_client.answers.answer import answer
from fedehr_client.answers.disclosed import require_disclosed
from fedehr_client.answers.warm_study import WarmStudy
from fedehr_client.locator import SiteLocation
from fedehr_shared.errors import FedehrError
from fedehr_shared.full_disk import as_storage
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import ErrorReport
from fedehr_shared.wire.work import Work

log = logging.getLogger("fedehr.client")


def reply_to(
    read: Callable[[], Payload],
    locate: Callable[[], SiteLocation],
    warm: WarmStudy | None = None,
) -> Payload:
    """Answer the request that `read` gives, for the site that `locate` finds.

    `warm` is what this process keeps of the study between requests; None: nothing.

    The site's log gets the reason of a failure beside its reference. The text of an
    exception that we did not raise ourselves is left out: it may quote a record.
    """
    try:
        work = Work.from_payload(read())
        return require_disclosed(answer(work, locate(), warm), work)
    except MemoryError as error:
        return _failure("compute", f"memory ran out at\n{_places(error)}")
    except Exception as error:
        told = as_storage(error)
        if isinstance(told, FedehrError):
            return _failure(told.code, str(told))
        return _failure("failed", f"{type(error).__name__} at\n{_places(error)}")


def _places(error: Exception) -> str:
    return "".join(traceback.format_tb(error.__traceback__))


def _failure(code: str, reason: str) -> Payload:
    reference = secrets.token_hex(8)
    log.error("work failed with code %s, reference %s: %s", code, reference, reason)
    return ErrorReport(code, reference).to_payload()
