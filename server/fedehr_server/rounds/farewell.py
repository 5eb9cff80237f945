"""`tell_end`: tells the nodes that a run is over, and waits a little for their answers."""

import time
from collections.abc import Iterable

from fedehr_server.transport import Transport
from fedehr_shared.contract.requests import End, EndAnswer
from fedehr_shared.errors import WireError
from fedehr_shared.wire.payload import Payload

SECONDS = 10.0
"""A site that is busy or away keeps what it has until it hears of the next run."""


def tell_end(
    transport: Transport, nodes: Iterable[int], end: End, seconds: float = SECONDS
) -> list[int]:
    """Send `end` to each node; those that answered in time.

    Args:
        transport: reaches the nodes.
        nodes: whoever was asked for work.
        end: of which contract, with which model.
        seconds: to wait for the answers.
    """
    waiting = set(nodes)
    deadline = time.monotonic() + seconds
    for node in sorted(waiting):
        transport.push(node, end.to_payload())
    heard: list[int] = []
    while waiting and time.monotonic() < deadline:
        answers = transport.pull()
        for node, payload in answers:
            if node in waiting:
                waiting.discard(node)
                heard += [node] if isinstance(payload, Payload) and _is_answer(payload) else []
        if not answers:
            transport.wait()
    return sorted(heard)


def _is_answer(payload: Payload) -> bool:
    try:
        EndAnswer.from_payload(payload)
    except WireError:
        return False
    return True
