"""The certificate of whoever may sign contracts: issued by the coordinator's authority for this.

Its one extended key usage is an object identifier of fedehr's own, and critical: no certificate
of a server signs contracts, and this one opens no TLS.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fedehr_shared.contract.study_contract import CLOCK_SKEW, utc_text
from fedehr_shared.errors import ContractError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNS_CONTRACTS = "2.25.323557787009207453924761585264546959195"
"""Below 2.25 a UUID names an object without any register (ITU-T X.667)."""


def signer_key(certificate_pem: str, authority_pem: bytes, now: datetime) -> "Ed25519PublicKey":
    """The key of a certificate that may sign contracts.

    Args:
        certificate_pem: the signer's certificate.
        authority_pem: the authority's.
        now: with its time zone.

    Raises:
        ContractError: the authority did not issue it, did so for something else, or one of the
            two is not valid now.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    authority = _read(authority_pem, "the authority's certificate")
    certificate = _read(certificate_pem.encode(errors="replace"), "the signer's certificate")
    _require_authority(authority)
    _require_issued_by(certificate, authority)
    _require_purpose(certificate)
    for one, whose in ((authority, "authority"), (certificate, "signer")):
        _require_valid(one, whose, now)
    key = certificate.public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise ContractError("the signer's key is not Ed25519. The contract was refused.")
    return key


def _read(pem: bytes, what: str) -> "x509.Certificate":
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(pem)
    except (ValueError, x509.InvalidVersion) as error:
        raise ContractError(f"{what} cannot be read: it is no PEM certificate.") from error


def _require_authority(authority: "x509.Certificate") -> None:
    from cryptography import x509

    try:
        constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
        is_authority = constraints.value.ca
    except (x509.ExtensionNotFound, ValueError):
        is_authority = False
    if not is_authority:
        raise ContractError(
            "the certificate that contracts are checked with is no authority's. Put the "
            "coordinator's ca.crt there ([network] root_certificates or contract_authority)."
        )


def _require_issued_by(certificate: "x509.Certificate", authority: "x509.Certificate") -> None:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError) as error:
        raise ContractError(
            "the contract's signer was not certified by the coordinator that this site knows. If "
            "the coordinator has a new authority, ask for its ca.crt."
        ) from error


def _require_purpose(certificate: "x509.Certificate") -> None:
    from cryptography import x509

    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (x509.ExtensionNotFound, ValueError):
        is_meant = False
    else:
        purposes = [purpose.dotted_string for purpose in usage.value]
        is_meant = usage.critical and purposes == [SIGNS_CONTRACTS] and not constraints.value.ca
    if not is_meant:
        raise ContractError(
            "the contract's signature is by a certificate that is not for signing contracts."
        )


def _require_valid(certificate: "x509.Certificate", whose: str, now: datetime) -> None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if begins - CLOCK_SKEW <= now <= ends + CLOCK_SKEW:
        return
    raise ContractError(
        f"the {whose}'s certificate is valid from {utc_text(begins)} to {utc_text(ends)}, and this "
        f"machine's clock says {utc_text(now.astimezone(UTC))} ({CLOCK_SKEW.seconds // 60} minutes "
        "of difference are allowed). Set the clock, or ask the coordinator for a new contract."
    )
