"""The node's folder: the site file, who may read what, and the key pair."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from fedehr_client.doctor.finding import Finding, fail, ok, warn
from fedehr_client.node.folder import NodeFolder
from fedehr_client.node.keys import fingerprint, private_key_fingerprint
from fedehr_client.site import SiteConfig
from fedehr_shared.errors import ConfigError

_OTHERS = 0o077


def check_folder(node: NodeFolder) -> Iterator[Finding]:
    """Whose the folder is, and who may look into it."""
    status = node.path.stat()
    mode = stat.S_IMODE(status.st_mode)
    user = os.geteuid()
    if user not in {0, status.st_uid}:
        yield fail(
            "owner",
            f"{node.path} belongs to user {status.st_uid}, and this is user {user}.",
            f"run as that user, or: chown -R $(id -un) {node.path}",
        )
    if mode & _OTHERS:
        yield fail(
            "permissions",
            f"other users of this machine may enter {node.path} (mode {mode:04o}).",
            f"chmod 700 {node.path}",
            mode=f"{mode:04o}",
        )
    else:
        yield ok("permissions", f"only its owner enters {node.path}.", mode=f"{mode:04o}")
    if not os.access(node.path, os.W_OK):
        yield fail(
            "writable",
            f"{node.path} cannot be written.",
            f"mount it writable, or: chmod u+w {node.path}",
        )


def check_keys(node: NodeFolder, config: SiteConfig | None) -> Iterator[Finding]:
    """The private key, its mode, and whether the public file is its other half."""
    private = node.private_key if config is None else config.network.private_key
    public = private.with_name(private.name + ".pub")
    try:
        own = private_key_fingerprint(private)
    except ConfigError as error:
        yield fail(
            "key",
            str(error),
            f"restore {private} from a backup; or make a new node folder with `fedehr-client init` "
            "and give the coordinator its new public key",
        )
        return
    yield _check_mode(private)
    yield _check_pair(own, private, public)


def _check_mode(private: Path) -> Finding:
    mode = stat.S_IMODE(private.stat().st_mode)
    if mode & _OTHERS:
        text = f"other users of this machine may read {private} (mode {mode:04o})."
        return fail("key_mode", text, f"chmod 600 {private}", mode=f"{mode:04o}")
    return ok("key_mode", "only its owner reads the private key.", mode=f"{mode:04o}")


def _check_pair(own: str, private: Path, public: Path) -> Finding:
    mend = f"ssh-keygen -y -f {private} > {public}"
    try:
        other = fingerprint(public)
    except (OSError, ValueError):
        return warn("key", f"there is no readable public key {public}.", mend, fingerprint=own)
    if own != other:
        return fail("key", f"{public} is not the other half of {private}.", mend, fingerprint=own)
    return ok("key", f"the key pair is whole: {own}", fingerprint=own)
