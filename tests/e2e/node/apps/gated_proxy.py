"""`GatedProxy`: stands between a node and the coordinator, throttles, holds and cuts the line.

It shows the coordinator's own certificate, so the node notices nothing, and reads requests as
they pass: a test names a route and how far its body may come. What the node sent is kept.
"""

import asyncio
import contextlib
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK_BYTES = 16_384


@dataclass(eq=False)
class Gate:
    """One stop on the way, for the first request that comes to it.

    Attributes:
        route: the last part of the request's path, as `push-object`.
        after_bytes: of the body, which pass before it stops.
        skip: how many such requests pass first.
        min_bytes: of the body; smaller requests are not looked at.
        reached: set once a request waits here.
    """

    route: str
    after_bytes: int = 0
    skip: int = 0
    min_bytes: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    _decided: threading.Event = field(default_factory=threading.Event)
    is_cut: bool = False

    def release(self) -> None:
        """Let the request go on."""
        self._decided.set()

    def cut(self) -> None:
        """End the connection where it stands."""
        self.is_cut = True
        self._decided.set()

    async def wait(self) -> None:
        """Until a test has decided."""
        self.reached.set()
        while not self._decided.is_set():
            await asyncio.sleep(0.01)


class GatedProxy:
    """Listens on a port of the loopback interface until it is closed."""

    def __init__(self, coordinator: Path, target_port: int) -> None:
        """`coordinator`: its folder, for its certificates; `target_port`: of its nginx."""
        pki = coordinator / "pki"
        self._shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._shown.load_cert_chain(pki / "server.crt", pki / "server.key")
        self._trusted = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._target_port = target_port
        self._gates: list[Gate] = []
        self._serving: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()
        self.bytes_per_second: float | None = None
        self.is_open = True
        self.num_bytes_up = 0
        self.num_bytes_down = 0
        self.routes: list[tuple[str, int]] = []
        self.sent = bytearray()
        self.port = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def gate(self, route: str, **how: int) -> Gate:
        """Stop the next request of this kind."""
        gate = Gate(route, **how)
        with self._lock:
            self._gates.append(gate)
        return gate

    def drop_all(self) -> None:
        """End the connections that there are."""
        self._loop.call_soon_threadsafe(self._drop_all)

    def _drop_all(self) -> None:
        for task in self._serving:
            task.cancel()

    def close(self) -> None:
        """End all connections."""
        for gate in self._gates:
            gate.cut()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._listen())

    async def _listen(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._shown)
        self.port = int(server.sockets[0].getsockname()[1])
        self._ready.set()
        async with server:
            await self._stop.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.wait([task])

    async def _serve(self, node: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        if not self.is_open:
            answer.transport.abort()
            return
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        coordinator, request = await asyncio.open_connection(
            "127.0.0.1", self._target_port, ssl=self._trusted, server_hostname="localhost"
        )
        there = asyncio.create_task(self._pass_requests(node, request))
        back = asyncio.create_task(self._pass_answers(coordinator, answer))
        try:
            # asyncio complains of a connection whose handler ends as cancelled.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (there, back):
                task.cancel()
            for writer in (request, answer):
                # At once, with what is still in its buffer thrown away.
                writer.transport.abort()

    async def _pass_requests(self, node: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await node.readuntil(b"\r\n\r\n")
                self.sent += head
                route, num_bytes = _route_and_size(head)
                self.routes.append((route, num_bytes))
                gate = self._gate_of(route, num_bytes)
                if not await self._pass_one(head, num_bytes, gate, node, to):
                    return

    async def _pass_one(
        self,
        head: bytes,
        num_bytes: int,
        gate: Gate | None,
        node: asyncio.StreamReader,
        to: asyncio.StreamWriter,
    ) -> bool:
        """False where the line was cut."""
        to.write(head)
        passed, stop = 0, gate.after_bytes if gate else -1
        while True:
            if gate is not None and passed >= min(stop, num_bytes):
                await to.drain()
                await gate.wait()
                if gate.is_cut:
                    return False
                gate = None
            if passed == num_bytes:
                await to.drain()
                return True
            limit = num_bytes if gate is None else min(stop, num_bytes)
            block = await node.readexactly(min(_BLOCK_BYTES, limit - passed))
            passed += len(block)
            self.num_bytes_up += len(block)
            self.sent += block
            to.write(block)
            await to.drain()
            await self._slow_down(len(block))

    async def _pass_answers(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while block := await source.read(_BLOCK_BYTES):
                self.num_bytes_down += len(block)
                to.write(block)
                await to.drain()
                await self._slow_down(len(block))

    async def _slow_down(self, num_bytes: int) -> None:
        if self.bytes_per_second is not None:
            await asyncio.sleep(num_bytes / self.bytes_per_second)

    def _gate_of(self, route: str, num_bytes: int) -> Gate | None:
        with self._lock:
            for gate in self._gates:
                if gate.reached.is_set() or gate.route != route or num_bytes < gate.min_bytes:
                    continue
                if gate.skip:
                    gate.skip -= 1
                    continue
                self._gates.remove(gate)
                return gate
        return None


def _route_and_size(head: bytes) -> tuple[str, int]:
    first, *lines = head.decode("ascii").split("\r\n")
    size = 0
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            size = int(value)
    return first.split(" ")[1].rpartition("/")[2], size
