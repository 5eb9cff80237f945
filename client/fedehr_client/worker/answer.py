"""`Answer`: what a request is answered by, and what is to be noted once it was handed over."""

from collections.abc import Callable
from dataclasses import dataclass

from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import WorkId


def _nothing() -> None:
    """There is nothing to note."""


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        payload: what may leave.
        said: for the node's log, what was answered.
        work_id: of the round, where one was answered.
        study: its name.
        error_code: where it is an error; else empty.
        on_sent: called once the SuperNode has taken it.
    """

    payload: Payload
    said: str
    work_id: WorkId | None = None
    study: str = ""
    error_code: str = ""
    on_sent: Callable[[], None] = _nothing
