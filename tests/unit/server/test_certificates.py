"""Certificates that a strict TLS client accepts for the right name, and for no other."""

import ssl
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection, create_server

import pytest

from fedehr_server.network.certificates import SERVER_DAYS, create_certificates, days_left
from fedehr_shared.errors import ConfigError


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    create_certificates(folder, "fedehr.example.org")
    return folder


@contextmanager
def _serving(pki: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "server.crt", pki / "server.key")
    with create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            link, _ = listener.accept()
            with link:
                try:
                    context.wrap_socket(link, server_side=True).close()
                except (ssl.SSLError, OSError):
                    return  # the client refused us; it says why

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(10)


def _connect(port: int, ca: Path, name: str) -> None:
    context = ssl.create_default_context(cafile=str(ca))
    # What Python 3.13 asks of everybody: key usages, key identifiers.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        create_connection(("127.0.0.1", port), timeout=10) as link,
        context.wrap_socket(link, server_hostname=name) as secure,
    ):
        secure.do_handshake()


@pytest.mark.parametrize("name", ["fedehr.example.org", "localhost", "127.0.0.1"])
def test_the_server_is_trusted_under_its_names(pki: Path, name: str) -> None:
    with _serving(pki) as port:
        _connect(port, pki / "ca.crt", name)


@pytest.mark.parametrize("name", ["example.org", "127.0.0.2"])
def test_other_names_are_refused(pki: Path, name: str) -> None:
    with _serving(pki) as port, pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        _connect(port, pki / "ca.crt", name)


def test_another_authority_does_not_vouch(pki: Path, tmp_path: Path) -> None:
    create_certificates(tmp_path, "fedehr.example.org")
    with _serving(pki) as port, pytest.raises(ssl.SSLCertVerificationError):
        _connect(port, tmp_path / "ca.crt", "fedehr.example.org")


def test_an_address_may_be_the_host(tmp_path: Path) -> None:
    create_certificates(tmp_path, "192.0.2.7")
    with _serving(tmp_path) as port:
        _connect(port, tmp_path / "ca.crt", "192.0.2.7")


def test_openssl_agrees(pki: Path) -> None:
    subprocess.run(
        ["openssl", "verify", "-x509_strict", "-purpose", "sslserver",
         "-CAfile", pki / "ca.crt", pki / "server.crt"],
        check=True, capture_output=True,
    )  # fmt: skip


def test_private_keys_are_private(pki: Path) -> None:
    for name in ("ca.key", "server.key"):
        assert stat.S_IMODE((pki / name).stat().st_mode) == 0o600


def test_days_left(pki: Path) -> None:
    assert SERVER_DAYS - 3 <= days_left(pki / "server.crt") <= SERVER_DAYS


@pytest.mark.parametrize("host", ["", "https://x", "a b", "x:443", "-x.org", 'x"; inject'])
def test_what_is_no_host_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="host name"):
        create_certificates(tmp_path, host)
    assert list(tmp_path.iterdir()) == []
