"""The ClientApp: Flower's message in, Flower's message out, and nothing but codes on failure.

Every message is of type `query`; what is asked stands in its work id.
"""

import logging
import os
import secrets

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedehr_client.answers.answer import answer
from fedehr_client.locator import SiteLocator
from fedehr_client.records import from_records, to_records
from fedehr_shared.errors import FedehrError
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import ErrorReport
from fedehr_shared.wire.work import Work

log = logging.getLogger("fedehr.client")

app = ClientApp()


@app.query()
def handle(message: Message, context: Context) -> Message:
    """Answer one piece of work."""
    return Message(to_records(_answer_or_code(message, context)), reply_to=message)


def _answer_or_code(message: Message, context: Context) -> Payload:
    # Any exception that left this function would travel as text, with whatever it quotes.
    try:
        location = SiteLocator().locate(os.environ, dict(context.node_config))
        return answer(Work.from_payload(from_records(message.content)), location)
    except FedehrError as error:
        return _error(error.code, error)
    except Exception as error:
        return _error("failed", error)


def _error(code: str, error: Exception) -> Payload:
    reference = secrets.token_hex(8)
    log.error("work failed: code %s, reference %s", code, reference, exc_info=error)
    return ErrorReport(code, reference).to_payload()
