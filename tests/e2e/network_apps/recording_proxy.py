"""`RecordingProxy`: stands between a node and the coordinator, and keeps all that the node sends.

It shows the coordinator's own certificate, so the node notices nothing; what it keeps is what
TLS protects on the way. Loaded by tests/e2e/conftest.py.
"""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

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


class RecordingProxy:
    """Listens on a port of the loopback interface until it is closed."""

    def __init__(self, coordinator: Path, target_port: int) -> None:
        """`coordinator`: its folder, for its certificates; `target_port`: of its nginx."""
        pki = coordinator / "pki"
        self._shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._shown.load_cert_chain(pki / "server.crt", pki / "server.key")
        self._trusted = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._target_port = target_port
        self._sent: list[bytearray] = []
        self.port = 0
        self._is_open = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._is_open.wait(10)

    @property
    def connections(self) -> list[bytes]:
        """By connection, every byte that the node sent, without TLS."""
        return [bytes(sent) for sent in self._sent]

    @property
    def requests(self) -> list[Request]:
        """All requests; nothing of a connection is left over."""
        return [request for sent in self.connections for request in parsed(sent)]

    def close(self) -> None:
        """End all connections."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._listen())

    async def _listen(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._shown)
        self.port = int(server.sockets[0].getsockname()[1])
        self._is_open.set()
        async with server:
            await self._stop.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.wait([task])

    async def _serve(self, node: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        sent = bytearray()
        self._sent.append(sent)
        coordinator, request = await asyncio.open_connection(
            "127.0.0.1", self._target_port, ssl=self._trusted, server_hostname="localhost"
        )
        there = asyncio.create_task(_pump(node, request, sent))
        back = asyncio.create_task(_pump(coordinator, answer, None))
        try:
            await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (there, back):
                task.cancel()
            for writer in (request, answer):
                writer.close()


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
