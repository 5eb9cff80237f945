"""Certificate authorities, certificates and a TLS server of the test's own."""

import datetime
import email.utils
import ipaddress
import socket
import ssl
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """One that signs what the test wants, however wrong."""

    def __init__(self, name: str, days: float = 100) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = (
            _draft(self.name, self.name, self.key, -2, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def write(self, file: Path) -> Path:
        file.write_bytes(self.pem)
        return file

    def issue(self, folder: Path, *names: str, begin: float = -1, days: float = 90) -> Path:
        """A file of certificate and key for `names`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server")])
        alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
        certificate = (
            _draft(subject, self.name, key, begin, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(alternatives, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        file = folder / f"{'-'.join(names).replace(':', '_')}-{certificate.serial_number}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
        return file


class Listener:
    """A loopback port whose connections are each served by a thread."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        # Closing alone does not wake a thread that accepts.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def answer(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.answer(connection)
            except OSError:
                return  # the other end went away, as tests make it


class Coordinator(Listener):
    """What stands at a coordinator's port, with a status by route and a clock of its own."""

    def __init__(self, certificate: Path, statuses: dict[str, int] | None = None) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self.statuses = {"/v1/fleet/": 405, **(statuses or {})}
        self.skew_seconds: float | None = 0.0
        super().__init__()

    def answer(self, connection: socket.socket) -> None:
        with self._context.wrap_socket(connection, server_side=True) as tls:
            reader = tls.makefile("rb")
            while request := reader.readline():
                while reader.readline().strip():
                    pass
                tls.sendall(self._reply(request.split()[1].decode()))

    def _reply(self, route: str) -> bytes:
        lines = [f"HTTP/1.1 {self.statuses.get(route, 403)} Whatever", "Content-Length: 0"]
        if self.skew_seconds is not None:
            now = datetime.datetime.now(datetime.UTC).timestamp() + self.skew_seconds
            lines.append(f"Date: {email.utils.formatdate(now, usegmt=True)}")
        return "\r\n".join([*lines, "", ""]).encode()


class Plain(Listener):
    """Something that speaks no TLS."""

    def answer(self, connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, begin: float, end: float
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begin * DAY)
        .not_valid_after(now + end * DAY)
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
