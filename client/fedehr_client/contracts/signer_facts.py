"""`SignerFacts`: who signed a contract, from the certificate that came with it."""

import hashlib
from dataclasses import dataclass

from fedehr_shared.contract.signed_contract import SignedContract
from fedehr_shared.contract.study_contract import utc_text


@dataclass(frozen=True)
class SignerFacts:
    """The certificate's own words: believed once `SignedContract.verify` has checked it.

    Attributes:
        subject: of the certificate.
        issuer: the authority that issued it.
        key_sha256: of the public key in DER, in hexadecimal.
        valid_until: in UTC.
    """

    subject: str
    issuer: str
    key_sha256: str
    valid_until: str

    @classmethod
    def of(cls, signed: SignedContract) -> "SignerFacts":
        """Read the certificate; what cannot be read is told as `unreadable`."""
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        try:
            certificate = x509.load_pem_x509_certificate(signed.certificate.encode())
        except ValueError:
            return cls("unreadable", "unreadable", "unreadable", "unreadable")
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return cls(
            certificate.subject.rfc4514_string(),
            certificate.issuer.rfc4514_string(),
            hashlib.sha256(key).hexdigest(),
            utc_text(certificate.not_valid_after_utc),
        )
