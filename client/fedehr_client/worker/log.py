"""The worker's log: one line an event, times in UTC, on standard error."""

import logging
import time


def log_to_standard_error() -> None:
    """Say what `fedehr` says from `INFO` up, and of others what is wrong."""
    handler = logging.StreamHandler()
    line = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S"
    )
    line.converter = time.gmtime
    handler.setFormatter(line)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("fedehr").setLevel(logging.INFO)
