"""The site's key pair, by which the coordinator knows it (EC P-384, OpenSSH format).

The engine takes keys on NIST curves only, without a passphrase; the private key is readable
by its owner only and never leaves the site.
"""

import base64
import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import ssh

from fedehr_shared.errors import ConfigError


def create_key_pair(private_key: Path, comment: str) -> Path:
    """Write a new pair and return the public key's path (`<private_key>.pub`).

    Raises:
        FileExistsError: the private key exists; it is not touched.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    descriptor = os.open(private_key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(private)
    public_key = private_key.with_name(private_key.name + ".pub")
    public_key.write_bytes(public + b" " + comment.encode() + b"\n")
    return public_key


def fingerprint(public_key: Path) -> str:
    """SHA-256 of a public key, as `ssh-keygen -l` prints it."""
    return _fingerprint(serialization.load_ssh_public_key(public_key.read_bytes()))


def private_key_fingerprint(private_key: Path) -> str:
    """The fingerprint of the public half of a private key.

    Raises:
        ConfigError: the file is missing, or is not an EC key in OpenSSH format without a
            passphrase.
    """
    next_step = "Mend [network] private_key in site.toml, or make a new node folder."
    try:
        key = serialization.load_ssh_private_key(private_key.read_bytes(), password=None)
    except OSError as error:
        raise ConfigError(f"cannot read {private_key}: {error.strerror}. {next_step}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{private_key} is no OpenSSH private key without a passphrase. {next_step}"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{private_key} is no EC key, which the engine needs. {next_step}")
    return _fingerprint(key.public_key())


def _fingerprint(key: ssh.SSHPublicKeyTypes) -> str:
    digest = ssh.ssh_key_fingerprint(key, hashes.SHA256())
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
