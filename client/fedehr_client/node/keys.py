"""The site's key pair, by which the coordinator knows it (EC P-384, OpenSSH format).

The engine takes keys on NIST curves only, without a passphrase; the private key is readable
by its owner only and never leaves the site.
"""

import base64
import os
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import ssh


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
    key = serialization.load_ssh_public_key(public_key.read_bytes())
    digest = ssh.ssh_key_fingerprint(key, hashes.SHA256())
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
