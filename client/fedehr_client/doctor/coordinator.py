"""`Coordinator`: requests to the coordinator, with the proxy and the trust that the engine has.

The engine's own HTTP library makes them, so that what works here works there.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from fedehr_client.node.proxy import WebProxy
from fedehr_client.site import ConnectionConfig

if TYPE_CHECKING:
    import httpx
    from cryptography import x509

SECONDS = 10.0


@dataclass(frozen=True)
class PeerCertificate:
    """What the other end showed.

    Attributes:
        subject: its name.
        issuer: who signed it.
        names: hosts and addresses that it is for.
        ends: its last moment, UTC.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    ends: datetime


class Coordinator:
    """The coordinator's proxy, as this node reaches it."""

    def __init__(self, network: ConnectionConfig, proxy: WebProxy | None) -> None:
        """Nothing is sent yet.

        Raises:
            OSError: `root_certificates` cannot be read, or holds no certificate.
            ValueError: it has characters besides ASCII.
        """
        self._address = network.coordinator
        self._proxy = None if proxy is None else proxy.url
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.load_verify_locations(
            cadata=network.root_certificates.read_bytes().decode("ascii")
        )

    @contextmanager
    def trusted(self) -> "Iterator[httpx.Client]":
        """A client that verifies as the engine does."""
        with self._client(self._context) as client:
            yield client

    def shown_certificate(self) -> PeerCertificate | None:
        """What it shows, trusted or not; None where no TLS comes about."""
        import httpx

        anything = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anything.check_hostname = False
        anything.verify_mode = ssl.CERT_NONE
        try:
            with self._client(anything) as client, client.stream("GET", "/") as response:
                return peer_certificate(response)
        except httpx.HTTPError:
            return None

    def _client(self, context: ssl.SSLContext) -> "httpx.Client":
        import httpx

        return httpx.Client(
            base_url=f"https://{self._address}",
            verify=context,
            timeout=SECONDS,
            proxy=self._proxy,
            trust_env=False,
        )


def tls_error(error: BaseException) -> ssl.SSLError | None:
    """The TLS library's own error behind the HTTP library's."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return cause


def peer_certificate(response: "httpx.Response") -> PeerCertificate:
    """What the other end of an answered request showed."""
    from cryptography import x509

    connection = response.extensions["network_stream"].get_extra_info("ssl_object")
    shown = x509.load_der_x509_certificate(connection.getpeercert(True))
    return PeerCertificate(
        subject=shown.subject.rfc4514_string()[:100],
        issuer=shown.issuer.rfc4514_string()[:100],
        names=_names(shown),
        ends=shown.not_valid_after_utc,
    )


def _names(certificate: "x509.Certificate") -> tuple[str, ...]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    hosts = names.get_values_for_type(x509.DNSName)
    return (*hosts, *map(str, names.get_values_for_type(x509.IPAddress)))
