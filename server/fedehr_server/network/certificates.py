"""A private certificate authority, the coordinator's server certificate (EC P-256), and the
certificate of its signer of contracts (Ed25519).

Hospitals trust the authority's certificate and nothing else. Private keys are readable by
their owner only.
"""

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedehr_shared.contract.signer_certificate import SIGNS_CONTRACTS
from fedehr_shared.errors import ConfigError

AUTHORITY_DAYS = 3_650
SERVER_DAYS = 825
SIGNER_DAYS = 825
LOCAL_NAMES = ("localhost", "127.0.0.1")
"""Names under which proxy and programs on the same machine reach the SuperLink."""


def create_certificates(folder: Path, host: str) -> None:
    """Write `ca`, `server` and `signer`, each a `.crt` and a `.key`, into `folder`.

    The server certificate is valid for `host` (a DNS name or an address) and `LOCAL_NAMES`.

    Raises:
        ConfigError: `host` is neither.
    """
    names = _alternative_names(host)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority_certificate(authority_key, host)
    server_key = ec.generate_private_key(ec.SECP256R1())
    server = _server_certificate(server_key, authority_key, authority, names)
    write_private(folder / "ca.key", _key_bytes(authority_key))
    write_private(folder / "server.key", _key_bytes(server_key))
    (folder / "ca.crt").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    (folder / "server.crt").write_bytes(server.public_bytes(serialization.Encoding.PEM))
    create_signer(folder)


def create_signer(folder: Path) -> None:
    """Give `folder` a new certificate of the signer, for its key; and that, if it has none.

    Raises:
        ConfigError: the authority's key is missing, damaged or another's.
    """
    key_file = folder / "signer.key"
    try:
        if not key_file.exists():
            write_private(key_file, _key_bytes(ed25519.Ed25519PrivateKey.generate()))
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        authority_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
        authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{folder} lacks a key or a certificate that contracts are signed with, or it is "
            "damaged. Restore the folder's ca.key, ca.crt and signer.key."
        ) from error
    is_pair = authority_key.public_key() == authority.public_key()
    if not (
        isinstance(key, ed25519.Ed25519PrivateKey)
        and isinstance(authority_key, ec.EllipticCurvePrivateKey)
        and is_pair
    ):
        raise ConfigError(
            f"the keys in {folder} are not those of its certificates. Restore ca.key, ca.crt and "
            "signer.key."
        )
    signer = _signer_certificate(key, authority_key, authority)
    partial = folder / f".signer.crt.{os.getpid()}"
    partial.write_bytes(signer.public_bytes(serialization.Encoding.PEM))
    partial.replace(folder / "signer.crt")


def require_host(host: str) -> None:
    """Check that a certificate can be made for `host`.

    Raises:
        ConfigError: it is neither a DNS name nor an address.
    """
    _alternative_names(host)


def write_private(path: Path, content: bytes) -> None:
    """Create `path` with mode 0600 from its first moment; an existing file is not touched."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def days_left(certificate_file: Path) -> int:
    """Whole days until the certificate ends; negative once it has."""
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    return (certificate.not_valid_after_utc - datetime.now(UTC)).days


def _alternative_names(host: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for name in dict.fromkeys((host, *LOCAL_NAMES)):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            if not _is_dns_name(name):
                raise ConfigError(
                    f"{name!r} is neither a host name nor an address. Give the name under which "
                    "hospitals reach the coordinator, for example fedehr.example.org."
                ) from None
            names.append(x509.DNSName(name))
    return names


def _is_dns_name(name: str) -> bool:
    labels = name.split(".")
    return len(name) <= 253 and all(
        0 < len(label) <= 63
        and label.isascii()
        and label.replace("-", "").isalnum()
        and not label.startswith("-")
        and not label.endswith("-")
        for label in labels
    )


def _authority_certificate(key: ec.EllipticCurvePrivateKey, host: str) -> x509.Certificate:
    subject = _subject(f"fedehr CA {host}")
    usage = _key_usage(key_cert_sign=True, crl_sign=True)
    return (
        _draft(subject, subject, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _server_certificate(
    key: ec.EllipticCurvePrivateKey,
    authority_key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    names: list[x509.GeneralName],
) -> x509.Certificate:
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    subject = _subject("fedehr coordinator")
    return (
        _draft(subject, authority.subject, key.public_key(), SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(purpose, critical=False)
        .add_extension(issuer_key, critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _signer_certificate(
    key: ed25519.Ed25519PrivateKey,
    authority_key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
) -> x509.Certificate:
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    # Critical: what does not know this purpose must not take the certificate for another.
    purpose = x509.ExtendedKeyUsage([x509.ObjectIdentifier(SIGNS_CONTRACTS)])
    subject = _subject("fedehr contract signer")
    return (
        _draft(subject, authority.subject, key.public_key(), SIGNER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(purpose, critical=True)
        .add_extension(issuer_key, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _draft(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
    num_days: int,
) -> x509.CertificateBuilder:
    # Clocks of hospitals differ a little; a certificate of tomorrow would be refused.
    start = datetime.now(UTC) - timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=num_days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _key_usage(
    digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _key_bytes(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
