"""The worker's log: one line an event, times in UTC, on standard error."""

import logging

from fedehr_client.utc_formatter import UtcFormatter


def log_to_standard_error() -> None:
    """Say what `fedehr` says from `INFO` up, and of others what is wrong."""
    handler = logging.StreamHandler()
    handler.setFormatter(UtcFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("fedehr").setLevel(logging.INFO)
