"""`HttpHealth`: `/healthz`, `/readyz` and `/metrics` for this machine alone.

It listens on the loopback interface. A web page that someone on this machine has open could
still send its browser there under a name of its own; such a request carries that name as its
host and is refused.
"""

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fedehr_client.supervision.metrics import CONTENT_TYPE
from fedehr_shared.errors import NetworkError
from fedehr_shared.ports import LOOPBACK

REQUEST_SECONDS = 5.0
_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
_PLAIN = "text/plain; charset=utf-8"


class HttpHealth:
    """A small server in threads of its own."""

    def __init__(
        self, port: int, why_unready: Callable[[], str | None], metrics: Callable[[], str]
    ) -> None:
        """Listens at once.

        Args:
            port: 0: a free one.
            why_unready: None where the node is ready.
            metrics: the page at `/metrics`.

        Raises:
            NetworkError: the port is taken.
        """

        class Handler(_Handler):
            pages = {  # noqa: RUF012 - one class a server
                "/healthz": lambda: (HTTPStatus.OK, _PLAIN, "ok\n"),
                "/readyz": lambda: _readiness(why_unready()),
                "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE, metrics()),
            }

        try:
            self._server = _Server((LOOPBACK, port), Handler)
        except OSError as error:
            raise port_taken("http_port", port, error) from error
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


def port_taken(setting: str, port: int, error: OSError | RuntimeError) -> NetworkError:
    """That a monitoring port cannot be listened on."""
    why = getattr(error, "strerror", None) or "already in use"
    return NetworkError(
        f"cannot listen on port {port}: {why}. Set [monitoring] {setting} in site.toml to "
        "another, or to 0 for a free one."
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that went away is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    pages: dict[str, Callable[[], tuple[HTTPStatus, str, str]]]
    timeout = REQUEST_SECONDS
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        """Answer one of the pages."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer the head of one of the pages."""
        self._answer(with_body=False)

    def version_string(self) -> str:
        """Names no software and no version."""
        return "fedehr"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: it is asked every few seconds."""

    def _answer(self, *, with_body: bool) -> None:
        status, kind, text = self._page()
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _page(self) -> tuple[HTTPStatus, str, str]:
        if not self._is_from_here():
            return HTTPStatus.FORBIDDEN, _PLAIN, "only for this machine\n"
        page = self.pages.get(self.path.partition("?")[0])
        if page is None:
            return HTTPStatus.NOT_FOUND, _PLAIN, "there is /healthz, /readyz and /metrics\n"
        return page()

    def _is_from_here(self) -> bool:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or self.headers.get("Origin") is not None:
            return False
        name, colon, port = hosts[0].strip().rpartition(":")
        if colon and port.isascii() and port.isdigit():
            return name.lower() in _HOSTS
        return hosts[0].strip().lower() in _HOSTS


def _readiness(why: str | None) -> tuple[HTTPStatus, str, str]:
    if why is None:
        return HTTPStatus.OK, _PLAIN, "ready\n"
    return HTTPStatus.SERVICE_UNAVAILABLE, _PLAIN, f"{why}\n"
