"""A signal ends a running query at once, and not only when a whole file has been read."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import duckdb

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupted_by_signals(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Within, signals that Python handles stop `connection` first.

    DuckDB's main thread notices them, but then waits for what its other threads are at.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        for number, handler in previous.items():
            if callable(handler):
                signal.signal(number, _stopping(connection, handler))
        yield
    finally:
        for number, handler in previous.items():
            if callable(handler):
                signal.signal(number, handler)


def _stopping(
    connection: duckdb.DuckDBPyConnection, handler: Callable[[int, FrameType | None], object]
) -> Callable[[int, FrameType | None], None]:
    def stop(number: int, frame: FrameType | None) -> None:
        connection.interrupt()
        handler(number, frame)

    return stop
