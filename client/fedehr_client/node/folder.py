"""The node's folder: one place, named by the user, that holds all of a hospital's node.

site.toml     the site file
node.key      private key (0600), node.key.pub the public one
ca.crt        a copy of the coordinator's certificate authority
work          folder of caches and of the ledger (work/privacy)
contracts     folder of the studies that the site knows
outbox        folder of receipts and of answers that wait
audit.jsonl   what happened here
state         folder of the engine's settings and process records
logs          folder of supernode.log, worker.log and node.log
"""

import json
from dataclasses import dataclass
from pathlib import Path

from fedehr_client.node.keys import create_key_pair
from fedehr_client.site import SiteConfig
from fedehr_shared.config.section import parse
from fedehr_shared.errors import ConfigError, DataError, UsageError

_TOML = """\
# What this hospital says about itself. A study can never change it.
# Relative paths start at this file's folder.

[site]
name = {name}
records = {records}    # a MEDS site folder: data/, metadata/, labels/
work = "work"          # private: caches, and privacy/, the account of epsilon; keep that

[ceilings]
min_cell = 11          # no number that rests on fewer subjects leaves this site
# subject_epsilon = 8.0    # what all studies together may spend of a subject's privacy; what
#                          # would pass it is refused. `fedehr-client budget` shows what is spent
# subject_delta = 1e-5     # delta of that epsilon: well below 1 / (number of subjects)
# require_privacy = true   # refuse studies that train without noise of this site's own; without
#                          # it, subject_epsilon bounds only the studies that do add noise, and
#                          # without subject_epsilon any noise would do: give both

[compute]
device = "auto"        # auto, cpu or cuda
# num_threads = 4      # torch threads; left out, torch decides
# Below, "auto" takes what suits the hardware found; `fedehr-client check` shows what that is.
# precision = "auto"       # fp32, bf16 or fp16: of the matrix products, weights stay in fp32
# attention = "auto"       # varlen or flex on a GPU, sdpa, padded
# compile = "auto"         # on or off: compiled layers, on a GPU with triton
# checkpointing = "auto"   # on or off: less memory, a third slower
# token_budget = "auto"    # most tokens in memory at once; a larger batch is added up
# deterministic = false    # on a GPU: the same bits each time, though slower

[network]
coordinator = {coordinator}    # host:port; the one outbound connection
root_certificates = "ca.crt"   # the coordinator's certificate authority
private_key = "node.key"       # never leaves this site
"""


@dataclass(frozen=True)
class NodeFolder:
    """Where the parts of a node lie; `path` is absolute."""

    path: Path

    @property
    def site_file(self) -> Path:
        """`site.toml`."""
        return self.path / "site.toml"

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
    path: Path, name: str, records: Path, coordinator: str, root_certificates: Path
) -> NodeFolder:
    """Make a node's folder with its site file and a new key pair.

    Raises:
        UsageError: the folder exists and is not empty.
        ConfigError: a setting is wrong, or the certificate is not a readable PEM file.
        DataError: there is no records folder.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path} exists and is not empty. Name a new folder.")
    if not (records / "data").is_dir():
        raise DataError(
            f"{records} is no site folder: it has no data/. Import records first "
            "(fedehr-client import --help)."
        )
    certificate = _read_certificate(root_certificates)
    folder = NodeFolder(path.absolute())
    _require_settings(name, records, coordinator)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.path.chmod(0o700)
    for part in (folder.engine_home, folder.log_file.parent, folder.path / "work"):
        part.mkdir(mode=0o700, parents=True)
    (folder.path / "ca.crt").write_bytes(certificate)
    create_key_pair(folder.path / "node.key", comment=name)
    folder.site_file.write_text(
        _TOML.format(
            name=json.dumps(name),
            records=json.dumps(str(records.absolute())),
            coordinator=json.dumps(coordinator),
        ),
        encoding="utf-8",
    )
    return folder


def _require_settings(name: str, records: Path, coordinator: str) -> None:
    network = {"coordinator": coordinator, "root_certificates": "c", "private_key": "k"}
    site = {"name": name, "records": str(records)}
    parse({"site": site, "network": network}, SiteConfig, "the command line")


def _read_certificate(file: Path) -> bytes:
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
