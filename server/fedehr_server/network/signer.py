"""`Signer`: signs contracts with the key that the coordinator's authority certified for it."""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fedehr_server.network.certificates import create_signer
from fedehr_server.network.coordinator import CoordinatorFolder
from fedehr_shared.contract.signed_contract import SignedContract, signed_bytes
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.errors import ConfigError


class Signer:
    """The signer of one coordinator folder."""

    def __init__(self, folder: CoordinatorFolder) -> None:
        self._folder = folder
        self._key_file = folder.pki / "signer.key"
        self._certificate_file = folder.pki / "signer.crt"

    def sign(self, contract: StudyContract) -> SignedContract:
        """Sign; an older folder gets its key, and a certificate that ends too early a new one.

        Raises:
            ConfigError: a key or a certificate is missing or damaged, or none can last so long.
        """
        self._require_certificate(contract.deadline_time)
        key = load_pem_private_key(self._key_file.read_bytes(), None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"{self._key_file} is no Ed25519 key. Restore it.")
        text = contract.to_json()
        signed = SignedContract(
            text=text,
            signature=key.sign(signed_bytes(text)).hex(),
            certificate=self._certificate_file.read_text(encoding="ascii"),
        )
        # What a site would refuse must not be handed out.
        signed.verify((self._folder.pki / "ca.crt").read_bytes(), datetime.now(UTC))
        return signed

    def _require_certificate(self, until: datetime) -> None:
        if not self._lasts(until):
            create_signer(self._folder.pki)
        if not self._lasts(until):
            raise ConfigError(
                "the signer's certificate ends before the contract would. Give fewer --days."
            )

    def _lasts(self, until: datetime) -> bool:
        if not self._key_file.is_file() or not self._certificate_file.is_file():
            return False
        certificate = x509.load_pem_x509_certificate(self._certificate_file.read_bytes())
        authority = x509.load_pem_x509_certificate((self._folder.pki / "ca.crt").read_bytes())
        try:
            # The authority may have been replaced since.
            certificate.verify_directly_issued_by(authority)
        except (InvalidSignature, ValueError, TypeError):
            return False
        return certificate.not_valid_after_utc > until
