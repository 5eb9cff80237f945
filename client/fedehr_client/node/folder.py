"""The node's folder: one place, named by the user, that holds all of a hospital's node.

site.toml     the site file
node.key      private key (0600), node.key.pub the public one
ca.crt        a copy of the coordinator's certificate authority
records       folder of the imported records, unless the site file names another
work          folder of caches and of the ledger (work/privacy)
contracts     folder of the studies that the site knows
outbox        folder of receipts and of answers that wait
audit.jsonl   what happened here
state         folder of the engine's settings and process records
logs          folder of supernode.log, worker.log and node.log
"""

from dataclasses import dataclass
from pathlib import Path

from fedehr_client.node.certificate_file import read_certificates
from fedehr_client.node.keys import create_key_pair
from fedehr_client.node.site_template import site_file_text
from fedehr_client.site import SiteConfig
from fedehr_shared.config.section import parse
from fedehr_shared.errors import ConfigError, DataError, UsageError


@dataclass(frozen=True)
class NodeFolder:
    """Where the parts of a node lie; `path` is absolute."""

    path: Path

    @property
    def site_file(self) -> Path:
        """`site.toml`."""
        return self.path / "site.toml"

    @property
    def records(self) -> Path:
        """Where records lie unless the site file says otherwise."""
        return self.path / "records"

    @property
    def authority_file(self) -> Path:
        """The coordinator's certificate authority."""
        return self.path / "ca.crt"

    @property
    def private_key(self) -> Path:
        """The key that never leaves this folder."""
        return self.path / "node.key"

    @property
    def public_key(self) -> Path:
        """The key to give to the coordinator."""
        return self.path / "node.key.pub"

    @property
    def state(self) -> Path:
        """The engine's own files and the process record."""
        return self.path / "state"

    @property
    def engine_home(self) -> Path:
        """The engine's FLWR_HOME."""
        return self.state / "flwr"

    @property
    def log_file(self) -> Path:
        """What the SuperNode and the ClientApp print."""
        return self.path / "logs" / "supernode.log"

    @property
    def contracts(self) -> Path:
        """The studies that the site knows, and what was decided about each."""
        return self.path / "contracts"

    @property
    def outbox(self) -> Path:
        """Receipts, and answers that are kept until they are acknowledged."""
        return self.path / "outbox"

    @property
    def audit_file(self) -> Path:
        """What happened at this node, chained line by line."""
        return self.path / "audit.jsonl"

    @property
    def secret_file(self) -> Path:
        """What the worker proves itself to the SuperNode with."""
        return self.state / "worker.secret"

    def config(self) -> SiteConfig:
        """Read `site.toml`.

        Raises:
            ConfigError: it is missing or wrong.
        """
        return SiteConfig.load(self.site_file)


def open_node(path: Path) -> NodeFolder:
    """The node's folder at `path`.

    Raises:
        ConfigError: there is none.
    """
    folder = NodeFolder(path.absolute())
    if not folder.site_file.is_file():
        raise ConfigError(
            f"{path} is no node folder: it has no site.toml. "
            "Make one with `fedehr-client init` (see its --help)."
        )
    return folder


def create_node(
    path: Path,
    name: str,
    records: Path | None,
    coordinator: str,
    root_certificates: Path | None,
) -> NodeFolder:
    """Make a node's folder with its site file and a new key pair.

    Args:
        path: new or empty.
        name: of the site.
        records: a site folder; None: `records` in the node's folder, to be imported later.
        coordinator: `host:port`.
        root_certificates: the coordinator's `ca.crt`, which is copied; None: to be put there
            before the start.

    Raises:
        UsageError: the folder exists and is not empty, or cannot be made.
        ConfigError: a setting is wrong, or the certificate is not a readable PEM file.
        DataError: there is no records folder.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path} exists and is not empty. Name a new folder.")
    if records is not None and not (records / "data").is_dir():
        raise DataError(
            f"{records} is no site folder: it has no data/. Import records first "
            "(fedehr-client import --help), or leave --records out and import them later."
        )
    certificates = None if root_certificates is None else read_certificates(root_certificates)
    folder = NodeFolder(path.absolute())
    place = Path("records") if records is None else records.absolute()
    _require_settings(name, place, coordinator)
    try:
        _fill(folder, name, certificates)
        # The last of all: a folder without it is no node.
        text = site_file_text(folder.path, name, place, coordinator)
        folder.site_file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot make a node's folder at {path}: {error.strerror}. Name another folder, or "
            "remove what is there and try again."
        ) from error
    return folder


def _fill(folder: NodeFolder, name: str, certificates: bytes | None) -> None:
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.path.chmod(0o700)
    for part in (folder.engine_home, folder.log_file.parent, folder.path / "work"):
        part.mkdir(mode=0o700, parents=True)
    if certificates is not None:
        folder.authority_file.write_bytes(certificates)
    create_key_pair(folder.private_key, comment=name)


def _require_settings(name: str, records: Path, coordinator: str) -> None:
    network = {"coordinator": coordinator, "root_certificates": "c", "private_key": "k"}
    site = {"name": name, "records": str(records)}
    parse({"site": site, "network": network}, SiteConfig, "the command line")
