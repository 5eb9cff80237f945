"""The coordinator folder: one place, named by the user, that holds all of a coordinator.

DIR/coordinator.toml   host and ports (`CoordinatorConfig`)
DIR/nginx.conf         the proxy in front
DIR/pki/               certificate authority, server certificate, signer of contracts
DIR/sites/             one file a registered site
DIR/studies/           <digest>.json, every study ever submitted
DIR/contracts/         <digest>.json, every contract ever signed
DIR/vocabularies/      <digest>.json, every vocabulary agreed on or imported
DIR/runs/<run>/        progress, checkpoints and result of one run
DIR/state/             the engine's database and settings, submissions, process records
DIR/logs/              superlink.log, one log a run, the proxy's access log
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from fedehr_server.network.certificates import create_certificates, require_host
from fedehr_server.network.nginx import nginx_config
from fedehr_shared.config.section import Section, read_toml
from fedehr_shared.errors import ConfigError, UsageError

Port = Annotated[int, Field(ge=1, le=65_535)]

COORDINATOR_FOLDER = "FEDEHR_COORDINATOR_FOLDER"
"""The environment variable that tells the ServerApp its coordinator folder."""
CONNECTION = "coordinator"
"""The engine's name for the connection to our SuperLink."""

_TOML = """\
# The coordinator, written by `fedehr-server init`. After a change of ports, run
# `fedehr-server init` on a new folder, or mend nginx.conf as well.

[network]
host = "{host}"             # the name under which hospitals reach the proxy
port = {port}                 # the SuperLink, on 127.0.0.1 only
proxy_port = {proxy_port}            # the proxy, the one port open to hospitals
"""


class CoordinatorNetworkConfig(Section):
    """`[network]`: the coordinator's name and ports."""

    host: Annotated[str, Field(min_length=1, max_length=253)]
    """The name or address under which hospitals reach the proxy."""
    port: Port = 8443
    """The SuperLink's port, on the loopback interface only."""
    proxy_port: Port = 443
    """The proxy's port, the only one open to hospitals."""


class CoordinatorConfig(Section):
    """A whole `coordinator.toml`."""

    network: CoordinatorNetworkConfig


@dataclass(frozen=True)
class CoordinatorFolder:
    """Where the parts of a coordinator lie; `path` is absolute."""

    path: Path

    @property
    def config_file(self) -> Path:
        """`coordinator.toml`."""
        return self.path / "coordinator.toml"

    @property
    def pki(self) -> Path:
        """Certificates and their keys."""
        return self.path / "pki"

    @property
    def sites(self) -> Path:
        """One JSON file a registered site."""
        return self.path / "sites"

    @property
    def studies(self) -> Path:
        """Submitted studies, by digest."""
        return self.path / "studies"

    @property
    def contracts(self) -> Path:
        """Signed contracts, by digest; an older folder has none."""
        return self.path / "contracts"

    @property
    def runs(self) -> Path:
        """One folder a run."""
        return self.path / "runs"

    @property
    def state(self) -> Path:
        """The engine's own files and our process records."""
        return self.path / "state"

    @property
    def submissions(self) -> Path:
        """One JSON file a submitted run; its presence reserves the run's name."""
        return self.state / "submissions"

    @property
    def engine_home(self) -> Path:
        """The engine's FLWR_HOME."""
        return self.state / "flwr"

    @property
    def logs(self) -> Path:
        """Log files."""
        return self.path / "logs"

    @property
    def superlink_log(self) -> Path:
        """What the SuperLink prints."""
        return self.logs / "superlink.log"

    def run_log(self, run: str) -> Path:
        """What the ServerApp of a run printed, fetched from the engine at the run's end."""
        return self.logs / f"run-{run}.log"

    def config(self) -> CoordinatorConfig:
        """Read `coordinator.toml`.

        Raises:
            ConfigError: it is missing or wrong.
        """
        return read_toml(self.config_file, CoordinatorConfig)


def require_name(text: str) -> None:
    """Check that `text` may name a site or a run: it becomes part of a path.

    Raises:
        UsageError: it may not.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", text):
        raise UsageError(
            f"{text!r} is no name: lower-case letters, digits, - and _, at most 63. Mend it."
        )


def open_coordinator(path: Path) -> CoordinatorFolder:
    """The coordinator folder at `path`.

    Raises:
        ConfigError: there is none.
    """
    folder = CoordinatorFolder(path.absolute())
    if not folder.config_file.is_file():
        raise ConfigError(
            f"{path} is no coordinator folder: it has no coordinator.toml. "
            f"Make one with `fedehr-server init {path} --host NAME`."
        )
    return folder


def create_coordinator(path: Path, network: CoordinatorNetworkConfig) -> CoordinatorFolder:
    """Make a coordinator folder: certificates, proxy configuration, empty shelves.

    Raises:
        UsageError: the folder exists and is not empty, or cannot be made.
        ConfigError: the host is neither a name nor an address, or the ports are the same.
    """
    folder = CoordinatorFolder(path.absolute())
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path} exists and is not empty. Name a new folder.")
    if network.port == network.proxy_port:
        raise ConfigError(
            f"SuperLink and proxy cannot share port {network.port}. Give --proxy-port another."
        )
    require_host(network.host)
    try:
        _fill(folder, network)
    except OSError as error:
        raise UsageError(
            f"cannot make a coordinator's folder at {path}: {error.strerror}. Name another folder, "
            "or remove what is there and try again."
        ) from error
    return folder


def _fill(folder: CoordinatorFolder, network: CoordinatorNetworkConfig) -> None:
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.path.chmod(0o700)
    for part in (folder.pki, folder.sites, folder.studies, folder.contracts):
        part.mkdir(mode=0o700)
    for part in (folder.runs, folder.logs):
        part.mkdir(mode=0o700)
    for part in (folder.state, folder.engine_home, folder.submissions, folder.state / "nginx"):
        part.mkdir(mode=0o700)
    create_certificates(folder.pki, network.host)
    folder.config_file.write_text(_TOML.format(**network.model_dump()), encoding="utf-8")
    proxy = nginx_config(folder.path, network.port, network.proxy_port)
    (folder.path / "nginx.conf").write_text(proxy, encoding="utf-8")
    write_connection(folder, network)


def write_connection(folder: CoordinatorFolder, network: CoordinatorNetworkConfig) -> None:
    """Tell the engine's command line how to reach this coordinator's SuperLink."""
    folder.engine_home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder.engine_home / "config.toml").write_text(
        f'[superlink]\ndefault = "{CONNECTION}"\n\n[superlink.{CONNECTION}]\n'
        f'address = "127.0.0.1:{network.port}"\n'
        f"root-certificates = {json.dumps(str(folder.pki / 'ca.crt'))}\n",
        encoding="utf-8",
    )
