"""`RecordingProxy`: stands between a node and the coordinator, and keeps all that the node sends.

Loaded by tests/e2e/conftest.py.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tls_proxy import TlsProxy

_BLOCK_BYTES = 65_536


@dataclass(frozen=True)
class Request:
    """One HTTP request, taken apart.

    Attributes:
        path: what is asked for.
        headers: in small letters.
        body: whole.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes


class RecordingProxy(TlsProxy):
    """Keeps what it passes on to the coordinator."""

    def __init__(self, coordinator: Path, target_port: int) -> None:
        self._sent: list[bytearray] = []
        super().__init__(coordinator, target_port)

    @property
    def connections(self) -> list[bytes]:
        """By connection, every byte that the node sent, without TLS."""
        return [bytes(sent) for sent in self._sent]

    @property
    def requests(self) -> list[Request]:
        """All requests; nothing of a connection is left over."""
        return [request for sent in self.connections for request in parsed(sent)]

    async def pass_requests(self, node: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        """Kept, by connection."""
        sent = bytearray()
        self._sent.append(sent)
        await _pump(node, to, sent)

    async def pass_answers(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        """As they come."""
        await _pump(source, to, None)


async def _pump(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, kept: bytearray | None
) -> None:
    with contextlib.suppress(OSError):
        while block := await source.read(_BLOCK_BYTES):
            if kept is not None:
                kept += block
            target.write(block)
            await target.drain()


def parsed(sent: bytes) -> Iterator[Request]:
    """The requests of one connection, one after the other (HTTP/1.1)."""
    while sent:
        head, divider, sent = sent.partition(b"\r\n\r\n")
        assert divider, head[:80]
        first, *lines = head.decode("ascii").split("\r\n")
        method, path, version = first.split(" ")
        assert (method in {"GET", "POST"}, version) == (True, "HTTP/1.1")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        assert "transfer-encoding" not in headers
        size = int(headers.get("content-length", 0))
        assert len(sent) >= size
        yield Request(path, headers, sent[:size])
        sent = sent[size:]
