"""`TlsProxy`: stands between a node and the coordinator, and sees what TLS protects on the way.

It shows the coordinator's own certificate, so the node notices nothing. What passes is the
business of who derives from it.
"""

import asyncio
import contextlib
import ssl
import threading
from pathlib import Path


class TlsProxy:
    """Listens on a port of the loopback interface until it is closed."""

    def __init__(self, coordinator: Path, target_port: int) -> None:
        """`coordinator`: its folder, for its certificates; `target_port`: of its nginx."""
        pki = coordinator / "pki"
        self._shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._shown.load_cert_chain(pki / "server.crt", pki / "server.key")
        self._trusted = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._target_port = target_port
        self.port = 0
        self._listens = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._listens.wait(10)

    def close(self) -> None:
        """End all connections."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def pass_requests(self, node: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        """What a node sends on one connection, until that ends."""
        raise NotImplementedError

    async def pass_answers(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        """What comes back."""
        raise NotImplementedError

    def end(self, writer: asyncio.StreamWriter) -> None:
        """End one side of a connection of which the other has ended."""
        writer.close()

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._listen())

    async def _listen(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self._shown)
        self.port = int(server.sockets[0].getsockname()[1])
        self._listens.set()
        async with server:
            await self._stop.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.wait([task])

    async def serve(self, node: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        """One connection of a node's."""
        coordinator, request = await asyncio.open_connection(
            "127.0.0.1", self._target_port, ssl=self._trusted, server_hostname="localhost"
        )
        there = asyncio.create_task(self.pass_requests(node, request))
        back = asyncio.create_task(self.pass_answers(coordinator, answer))
        try:
            # asyncio complains of a connection whose handler ends as cancelled.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (there, back):
                task.cancel()
            for writer in (request, answer):
                self.end(writer)
