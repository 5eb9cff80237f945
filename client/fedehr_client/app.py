"""The ClientApp of simulations: Flower's message in and out, nothing but codes on failure.

Every message is of type `query`; what is asked stands in its work id. A hospital's node has the
sealed worker instead (`worker/`), so that a study passes its contract and its outbox: here it is
refused.
"""

import logging
import os

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedehr_client.answers.reply import reply_to
from fedehr_client.locator import SITE_FILE, SiteLocation, SiteLocator
from fedehr_client.records import from_records, to_records
from fedehr_shared.errors import ConfigError

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
        lambda: _locate(context),
    )
    return Message(to_records(payload), reply_to=message)


def _locate(context: Context) -> SiteLocation:
    if os.environ.get(SITE_FILE):
        raise ConfigError(
            "a hospital's node answers by its sealed worker alone. Start it with "
            "`fedehr-client start DIR`."
        )
    return SiteLocator().locate(os.environ, dict(context.node_config))
