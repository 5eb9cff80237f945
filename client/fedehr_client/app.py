"""The ClientApp: Flower's message in, Flower's message out, and nothing but codes on failure.

Every message is of type `query`; what is asked stands in its work id.
"""

import logging
import os

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedehr_client.answers.reply import reply_to
from fedehr_client.locator import SiteLocator
from fedehr_client.records import from_records, to_records

app = ClientApp()

# The node's log tells what a study is computed with, and what memory it takes.
_log = logging.getLogger("fedehr")
_log.setLevel(logging.INFO)
if not _log.handlers:
    _log.addHandler(logging.StreamHandler())


@app.query()
def handle(message: Message, context: Context) -> Message:
    """Answer one piece of work."""
    payload = reply_to(
        lambda: from_records(message.content),
        lambda: SiteLocator().locate(os.environ, dict(context.node_config)),
    )
    return Message(to_records(payload), reply_to=message)
