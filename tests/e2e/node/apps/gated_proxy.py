"""`GatedProxy`: stands between a node and the coordinator, throttles, holds and cuts the line.

It reads requests as they pass: a test names a route and how far its body may come. What the node
sent is kept.
"""

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field
from pathlib import Path

from tls_proxy import TlsProxy

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


class GatedProxy(TlsProxy):
    """Passes on what no gate stops."""

    def __init__(self, coordinator: Path, target_port: int) -> None:
        self._gates: list[Gate] = []
        self._serving: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()
        self.bytes_per_second: float | None = None
        self.is_open = True
        self.num_bytes_up = 0
        self.num_bytes_down = 0
        self.routes: list[tuple[str, int]] = []
        self.sent = bytearray()
        super().__init__(coordinator, target_port)

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
        super().close()

    async def serve(self, node: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        """None where the line is down; one that is served can be dropped."""
        if not self.is_open:
            self.end(answer)
            return
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        await super().serve(node, answer)

    def end(self, writer: asyncio.StreamWriter) -> None:
        """At once, with what is still in its buffer thrown away."""
        writer.transport.abort()

    async def pass_requests(self, node: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        """One after the other, each as far as its gate lets it."""
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

    async def pass_answers(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        """Counted and slowed down."""
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
