"""A file of certificates (PEM), as a coordinator or a hospital's web proxy hands it out."""

from pathlib import Path

from fedehr_shared.errors import ConfigError


def read_certificates(file: Path) -> bytes:
    """The bytes of a file that holds at least one PEM certificate.

    Raises:
        ConfigError: it is missing, or holds none.
    """
    from cryptography import x509

    next_step = "Ask the coordinator for its ca.crt."
    try:
        content = file.read_bytes()
        x509.load_pem_x509_certificates(content)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}. {next_step}") from error
    except ValueError as error:
        raise ConfigError(f"{file} holds no PEM certificate. {next_step}") from error
    return content


def certificate_fingerprint(file: Path) -> str:
    """SHA-256 of the first certificate, as `openssl x509 -fingerprint -sha256` prints it.

    Raises:
        ConfigError: the file is missing, or holds no certificate.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    first = x509.load_pem_x509_certificates(read_certificates(file))[0]
    return first.fingerprint(hashes.SHA256()).hex(":").upper()
