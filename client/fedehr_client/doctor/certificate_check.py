"""The certificate files that the node trusts: there, authorities, and how long they last."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fedehr_client.doctor.finding import Finding, fail, ok, warn
from fedehr_client.node.certificate_file import read_certificates
from fedehr_client.site import ConnectionConfig
from fedehr_shared.errors import ConfigError

if TYPE_CHECKING:
    from cryptography import x509

WARN_DAYS = 30
URGENT_DAYS = 7


def check_certificates(network: ConnectionConfig) -> Iterator[Finding]:
    """`root_certificates`, and `contract_authority` where that is another file."""
    yield _check_file("root_certificates", network.root_certificates)
    authority = network.contract_authority
    if authority is not None and authority != network.root_certificates:
        yield _check_file("contract_authority", authority)


def expiry(name: str, what: str, ends: datetime, mend: str) -> Finding:
    """How long a certificate lasts: a warning from 30 days on, urgent from 7.

    Args:
        name: of the finding.
        what: the certificate, as a sentence begins.
        ends: its last moment, UTC.
        mend: the line for the warning.
    """
    left = ends - datetime.now(UTC)
    day = ends.date().isoformat()
    if left.total_seconds() < 0:
        return fail(name, f"{what} ended on {day}.", mend, days_left=left.days)
    if left.days < URGENT_DAYS:
        text = f"URGENT: {what} ends in {left.days} days, on {day}; after it nobody joins."
        return warn(name, text, mend, days_left=left.days)
    if left.days < WARN_DAYS:
        return warn(name, f"{what} ends in {left.days} days, on {day}.", mend, days_left=left.days)
    return ok(name, f"{what} is good until {day} ({left.days} days).", days_left=left.days)


def _check_file(name: str, file: Path) -> Finding:
    mend = f"ask the coordinator for its current ca.crt and copy it to {file}"
    try:
        content = read_certificates(file)
    except ConfigError as error:
        return fail(name, str(error).partition(" Ask ")[0], mend)
    if not content.isascii():
        text = f"{file} has characters besides ASCII (in a comment), at which the engine ends."
        return fail(
            name, text, f"iconv -c -t ascii {file} > {file}.ascii && mv {file}.ascii {file}"
        )
    return _judge(name, file, content, mend)


def _judge(name: str, file: Path, content: bytes, mend: str) -> Finding:
    from cryptography import x509

    found = x509.load_pem_x509_certificates(content)
    authorities = [certificate for certificate in found if _is_authority(certificate)]
    if not authorities:
        text = f"{file} holds no certificate authority, but {_name(found[0])}."
        return fail(name, text, mend)
    if len(found) > 1:
        # A bundle may well hold some that ended; the connection tells whether it serves.
        lasting = max(authorities, key=lambda each: each.not_valid_after_utc)
        what = f"{file} ({len(found)} certificates): the last of them"
        return expiry(name, what, lasting.not_valid_after_utc, mend)
    own = authorities[0]
    return expiry(name, f"{file} ({_name(own)})", own.not_valid_after_utc, mend)


def _is_authority(certificate: "x509.Certificate") -> bool:
    from cryptography import x509

    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        # The first version of certificates has no extensions: a root of long ago.
        return certificate.subject == certificate.issuer
    return constraints.value.ca


def _name(certificate: "x509.Certificate") -> str:
    return certificate.subject.rfc4514_string()[:100] or "a certificate without a name"
