"""The sites that may connect: each is a name, a public key and the engine's node id."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from fedehr_server.network.control import Control
from fedehr_server.network.coordinator import CoordinatorFolder, require_name
from fedehr_server.network.superlink import SuperLink
from fedehr_shared.errors import ConfigError, NetworkError, UsageError


@dataclass(frozen=True)
class RegisteredSite:
    """One hospital's node, as `sites/<name>.json` keeps it."""

    name: str
    node_id: str
    fingerprint: str
    """SHA-256 of the public key, as `ssh-keygen -l` prints it."""
    state: str = "unknown"
    """`registered` (never seen), `online`, `offline`; `unknown` while the SuperLink is down."""


class SiteRegister:
    """The sites of one coordinator folder."""

    def __init__(self, folder: CoordinatorFolder) -> None:
        self._folder = folder
        self._control = Control(folder)

    def add(self, name: str, public_key: Path) -> RegisteredSite:
        """Let the holder of `public_key` connect as `name`.

        Raises:
            UsageError: the name is taken or not a name.
            ConfigError: the file is not a public EC key.
            NetworkError: the SuperLink is down or refused the key.
        """
        require_name(name)
        file = self._file(name)
        if file.exists():
            raise UsageError(
                f"there is a site {name} already. Remove it first with `fedehr-server site "
                f"remove {self._folder.path} {name}`, or choose another name."
            )
        fingerprint = public_key_fingerprint(public_key)
        for other in self._kept():
            if other.fingerprint == fingerprint:
                raise UsageError(f"this key is registered already, as site {other.name}.")
        site = RegisteredSite(name, self._register(name, public_key), fingerprint)
        file.write_text(json.dumps(asdict(site)), encoding="utf-8")
        return site

    def remove(self, name: str) -> None:
        """Take a site's permission to connect away.

        Raises:
            UsageError: there is no such site.
            NetworkError: the SuperLink is down or refused.
        """
        kept = {site.name: site for site in self._kept()}
        if name not in kept:
            raise UsageError(f"there is no site {name}; there are {sorted(kept) or 'none'}.")
        self._control.unregister(kept[name].node_id)
        self._file(name).unlink()

    def sites(self) -> list[RegisteredSite]:
        """The sites by name, with their state where the SuperLink is up."""
        sites = self._kept()
        if not sites or not SuperLink(self._folder).is_serving():
            return sites
        states = self._control.node_states()
        return [
            RegisteredSite(
                site.name, site.node_id, site.fingerprint, states.get(site.node_id, "unknown")
            )
            for site in sites
        ]

    def names(self) -> list[str]:
        """The sites' names, in order; the SuperLink is not asked."""
        return sorted(site.name for site in self._kept())

    def _register(self, name: str, public_key: Path) -> str:
        try:
            return self._control.register(public_key, name)
        except NetworkError as error:
            if "already in use" not in str(error):
                raise
            raise NetworkError(
                "this key was registered before and removed, and the engine never takes a key "
                "twice. Ask the hospital for a new one (`fedehr-client init` on a new folder)."
            ) from error

    def _kept(self) -> list[RegisteredSite]:
        files = sorted(self._folder.sites.glob("*.json"))
        return [RegisteredSite(**json.loads(file.read_text(encoding="utf-8"))) for file in files]

    def _file(self, name: str) -> Path:
        return self._folder.sites / f"{name}.json"


def public_key_fingerprint(public_key: Path) -> str:
    """The fingerprint of an OpenSSH public key on a NIST curve.

    Raises:
        ConfigError: the file is missing, or is another kind of key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import ssh

    next_step = "Ask the hospital for the .pub file that `fedehr-client init` wrote."
    try:
        key = serialization.load_ssh_public_key(public_key.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read {public_key}: {error.strerror}. {next_step}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{public_key} is no OpenSSH public key. {next_step}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ConfigError(f"{public_key} is no EC key, which the engine needs. {next_step}")
    import base64

    digest = ssh.ssh_key_fingerprint(key, hashes.SHA256())
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
