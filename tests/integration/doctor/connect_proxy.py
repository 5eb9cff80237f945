"""A hospital's web proxy: CONNECT, with or without a password, with or without opening TLS."""

import base64
import select
import socket
import ssl
import sys
from pathlib import Path

# The tests are no package; `conftest.py` has loaded the module by this name.
Listener = sys.modules["doctor_authority"].Listener


class ConnectProxy(Listener):
    """Takes CONNECT requests for the names that it knows.

    Attributes:
        asked: the targets, in order of arrival.
        refuses_with: a status to answer every request with; None: it serves.
        user: `user:password` that it asks for; None: nobody.
        num_bytes: that went through, both ways; unreadable ones where TLS is not opened.
        opened: what it could read, where it opens TLS.
    """

    def __init__(self, targets: dict[str, int], authority=None, upstream_ca: Path | None = None):
        self.asked: list[str] = []
        self.refuses_with: int | None = None
        self.user: str | None = None
        self.num_bytes = 0
        self.opened = bytearray()
        self._targets = targets
        self._authority, self._upstream_ca = authority, upstream_ca
        self._certificates: dict[str, Path] = {}
        super().__init__()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, connection: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            received = connection.recv(1)
            if not received:
                return
            head += received
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split()
        self.asked.append(target)
        status = self._status(method, target, lines[1:])
        connection.sendall(f"HTTP/1.1 {status} Said by the proxy\r\n\r\n".encode())
        if status != 200:
            return
        with socket.create_connection(("127.0.0.1", self._targets[target])) as upstream:
            if self._authority is None:
                self._pump(connection, upstream)
            else:
                self._open(connection, upstream, target.rpartition(":")[0])

    def _status(self, method: str, target: str, headers: list[str]) -> int:
        if self.user is not None:
            wanted = f"basic {base64.b64encode(self.user.encode()).decode()}".lower()
            given = [h.partition(":")[2].strip().lower() for h in headers
                     if h.lower().startswith("proxy-authorization:")]  # fmt: skip
            if wanted not in given:
                return 407
        if self.refuses_with is not None:
            return self.refuses_with
        return 200 if method == "CONNECT" and target in self._targets else 403

    def _open(self, connection: socket.socket, upstream: socket.socket, host: str) -> None:
        """Be the coordinator to the hospital, and the hospital to the coordinator."""
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if host not in self._certificates:
            self._certificates[host] = self._authority.issue(self._upstream_ca.parent, host)
        server.load_cert_chain(self._certificates[host])
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.load_verify_locations(self._upstream_ca)
        with (
            server.wrap_socket(connection, server_side=True) as near,
            client.wrap_socket(upstream, server_hostname=host) as far,
        ):
            self._pump(near, far)

    def _pump(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        while True:
            waiting = [s for s in other if isinstance(s, ssl.SSLSocket) and s.pending()]
            for source in waiting or select.select([near, far], [], [], 60)[0]:
                content = self._received(source)
                if content is None:
                    continue
                if not content:
                    return
                self.num_bytes += len(content)
                if self._authority is not None:
                    self.opened += content
                other[source].sendall(content)

    @staticmethod
    def _received(source: socket.socket) -> bytes | None:
        # What came may be TLS's own alone, such as a ticket: waiting for more would hang.
        source.setblocking(False)
        try:
            return source.recv(65_536)
        except (ssl.SSLWantReadError, BlockingIOError):
            return None
        finally:
            source.setblocking(True)
