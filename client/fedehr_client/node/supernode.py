"""The SuperNode process: started over TLS with the site's key, watched, stopped."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fedehr_client.locator import SITE_FILE
from fedehr_client.node.connection import check_coordinator
from fedehr_client.node.folder import NodeFolder
from fedehr_client.node.keys import private_key_fingerprint
from fedehr_client.site import ConnectionConfig
from fedehr_shared.errors import DataError, NetworkError, UsageError
from fedehr_shared.ports import LOOPBACK, free_port
from fedehr_shared.processes import (
    POLL_SECONDS,
    ProcessFamily,
    engine_environment,
    engine_program,
)

JOIN_SECONDS = 60.0
"""How long one attempt to join may take."""
LAPSE_SECONDS = 75.0
"""A killed node stays known as connected until its heartbeat lapses, within 60 s."""
RETRY_SECONDS = 5.0

_JOINED = re.compile(r"SuperNode ID: (\d+)")
_NOT_ACTIVATED = "[code: 2004]"
"""The engine's one answer both to an unknown key and to a key whose last connection has not
lapsed yet. Only a site that has joined before can be in the second case."""
_BAD_SIGNATURE = "terminated gracefully"
"""A refused signature makes the engine's node end itself politely, without a reason."""


@dataclass(frozen=True)
class _Attempt:
    """How one start of the SuperNode went."""

    process: subprocess.Popen[bytes]
    node_id: str | None
    output: str


class SuperNode:
    """The one SuperNode of a node folder."""

    def __init__(self, folder: NodeFolder) -> None:
        self._folder = folder
        self.family = ProcessFamily(folder.state / "supernode.json")

    def start(self, report: Callable[[str], None]) -> subprocess.Popen[bytes]:
        """Start it, and return once the coordinator has let it in.

        `report` is told why it takes longer.

        Raises:
            UsageError: it runs already.
            ConfigError: the site file or the key is wrong.
            DataError: the records' folder is missing.
            NetworkError: no connection, a wrong certificate, or an unknown key.
        """
        network = self._prepare()
        deadline = time.monotonic() + LAPSE_SECONDS
        told = False
        while True:
            attempt = self._attempt(network)
            if attempt.node_id is not None:
                self._joined_file.write_text(self._identity(network), encoding="utf-8")
                return attempt.process
            self.stop()
            may_lapse = _NOT_ACTIVATED in attempt.output and self._has_joined(network)
            if not may_lapse or time.monotonic() > deadline:
                raise NetworkError(self._explain(attempt.output, network))
            if not told:
                report(
                    "the coordinator still holds this site's last connection, which lapses "
                    "within a minute; trying again ..."
                )
                told = True
            time.sleep(RETRY_SECONDS)

    def is_running(self) -> bool:
        """Whether the SuperNode is alive."""
        return self.family.is_running()

    def stop(self) -> int:
        """End it with every process it started; returns how many there were."""
        return self.family.stop()

    def _prepare(self) -> ConnectionConfig:
        if self.is_running():
            raise UsageError(
                f"the node in {self._folder.path} runs already. Stop it first with "
                f"`fedehr-client stop {self._folder.path}`."
            )
        self.family.stop()
        config = self._folder.config()
        if not config.site.records.is_dir():
            raise DataError(
                f"there is no records folder {config.site.records}. "
                f"Mend [site] records in {self._folder.site_file}."
            )
        private_key_fingerprint(config.network.private_key)
        check_coordinator(config.network.coordinator, config.network.root_certificates)
        return config.network

    def _attempt(self, network: ConnectionConfig) -> _Attempt:
        log = self._folder.log_file
        start_bytes = log.stat().st_size if log.exists() else 0
        process = self.family.start(
            supernode_command(network, free_port()),
            supernode_environment(self._folder),
            log,
            {"coordinator": network.coordinator},
        )
        deadline = time.monotonic() + JOIN_SECONDS
        try:
            while True:
                ended = process.poll() is not None
                with log.open("rb") as file:
                    file.seek(start_bytes)
                    output = file.read().decode(errors="replace")
                joined = _JOINED.search(output)
                if joined and not ended:
                    return _Attempt(process, joined.group(1), output)
                if ended or time.monotonic() > deadline:
                    return _Attempt(process, None, output)
                time.sleep(POLL_SECONDS)
        except BaseException:
            self.stop()
            raise

    @property
    def _joined_file(self) -> Path:
        return self._folder.state / "joined.json"

    def _has_joined(self, network: ConnectionConfig) -> bool:
        """Whether this key has been let in by this coordinator before."""
        try:
            return self._joined_file.read_text(encoding="utf-8") == self._identity(network)
        except FileNotFoundError:
            return False

    def _identity(self, network: ConnectionConfig) -> str:
        key = private_key_fingerprint(network.private_key)
        return json.dumps({"coordinator": network.coordinator, "key": key})

    def _explain(self, output: str, network: ConnectionConfig) -> str:
        coordinator, key = network.coordinator, f"{network.private_key}.pub"
        if _NOT_ACTIVATED in output and self._has_joined(network):
            return (
                f"{coordinator} no longer lets this site's key in: it was removed, or another "
                "node is using it. Ask the coordinator (`fedehr-server site list`)."
            )
        if _NOT_ACTIVATED in output:
            return (
                f"{coordinator} does not know this site's key. Give the coordinator {key} and "
                "ask it to run `fedehr-server site add`."
            )
        if _BAD_SIGNATURE in output:
            return (
                f"{coordinator} refused this site's signature, which carries the time. Set this "
                "machine's clock (NTP) and start again."
            )
        return f"the node did not join {coordinator}. Read the end of {self._folder.log_file}."


def supernode_command(network: ConnectionConfig, runtime_port: int) -> list[str]:
    """The engine's command line: TLS, the site's key, its own API on loopback only."""
    return [
        engine_program("flower-supernode"),
        "--root-certificates", str(network.root_certificates),
        "--superlink", network.coordinator,
        "--auth-supernode-private-key", str(network.private_key),
        "--host", LOOPBACK,
        "--port", str(runtime_port),
    ]  # fmt: skip


def supernode_environment(folder: NodeFolder) -> dict[str, str]:
    """The environment of the SuperNode, which the ClientApp inherits."""
    return engine_environment(
        FLWR_HOME=str(folder.engine_home),
        FLWR_SUPEREXEC_TASK_POLL_INTERVAL="0.1",
        **{SITE_FILE: str(folder.site_file)},
    )
