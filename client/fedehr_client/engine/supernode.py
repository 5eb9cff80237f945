"""The engine's SuperNode, as the supervisor starts it: command, environment, and what it prints.

It hands tasks to whoever knows the secret and runs no code of them itself. It does open the
coordinator's bundle, in memory, to read the settings in its `pyproject.toml`; nothing of the
bundle is written or imported.

A worker that dies while it hands an answer over leaves the SuperNode waiting for the rest for
ever: whoever restarts a worker that ended by itself must restart the SuperNode too.
"""

import re
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from fedehr_client.locator import SITE_FILE
from fedehr_client.node.folder import NodeFolder
from fedehr_client.private_file import write_private
from fedehr_client.site import ConnectionConfig
from fedehr_shared.errors import ConfigError
from fedehr_shared.ports import LOOPBACK
from fedehr_shared.processes import engine_environment, engine_program

LAPSE_SECONDS = 75.0
"""A killed node stays known as connected until its heartbeat lapses, within 60 s."""
SECRET_BYTES = 32

_RECORD = r"\x1b\[\d+m%s [^\x1b\n]*\x1b\[0m:\s+"
"""How a record of the engine's begins. `one_line_log` sees to it that no text within a record holds
an escape character: what else looks like a record is somebody's text, and is not believed."""

_JOINED = re.compile(_RECORD % "INFO" + r"SuperNode ID: (\d+)")
_NOT_ACTIVATED = re.compile(_RECORD % "ERROR" + r"Exit Code: \d+ [^\x1b\n]*\[code: 2004\]")
"""The engine's one answer both to an unknown key and to a key whose last connection has not
lapsed yet. Only a site that has joined before can be in the second case."""
_BAD_SIGNATURE = re.compile(_RECORD % "INFO" + "SuperNode terminated gracefully")
"""A refused signature makes the engine's node end itself politely, without a reason; so does
SIGTERM."""

_CONNECTION = re.compile(
    _RECORD % "[A-Z]+" + "(?:(Connection attempt failed, retrying)|Connection successful after)"
)
_PORT_TAKEN = ("address already in use", "Runtime HTTP API failed to start")
_BROKEN = re.compile(_RECORD % "ERROR" + "an error ended a thread:")
"""A heartbeat that fails otherwise than by the connection ends its thread, which `one_line_log`
tells. Other errors in the log end nothing: where the engine's loop ends, `launch` ends the
process."""


@dataclass(frozen=True)
class Outcome:
    """What the output of one start tells.

    Attributes:
        node_id: the engine's number of this node, once the coordinator let it in.
        is_refused: the key is unknown, or its last connection has not lapsed.
        is_signature_refused: it ended itself before it was let in: the signature, which carries
            the time, was refused; or somebody ended it.
    """

    node_id: str | None
    is_refused: bool
    is_signature_refused: bool

    @property
    def is_joined(self) -> bool:
        """Whether the coordinator let it in."""
        return self.node_id is not None


def outcome_of(output: str) -> Outcome:
    """What a SuperNode printed since its start; all false while it is still trying."""
    joined = _JOINED.search(output)
    return Outcome(
        node_id=joined.group(1) if joined else None,
        is_refused=joined is None and _NOT_ACTIVATED.search(output) is not None,
        is_signature_refused=joined is None and _BAD_SIGNATURE.search(output) is not None,
    )


def is_connected(output: str, before: bool) -> bool:
    """Whether the coordinator answers, after further `output`; `before`: whether it did."""
    told = [found.group(1) is None for found in _CONNECTION.finditer(output)]
    return told[-1] if told else before


def is_broken(output: str) -> bool:
    """Whether a joined SuperNode cannot stay joined though its process lives."""
    return _BROKEN.search(output) is not None


def is_port_taken(output: str) -> bool:
    """Whether its own port was taken by somebody else."""
    return any(text in output for text in _PORT_TAKEN)


def supernode_command(network: ConnectionConfig, runtime_port: int, secret_file: Path) -> list[str]:
    """The engine's command line: TLS, the site's key, its own API on loopback only.

    Args:
        network: the coordinator and the key.
        runtime_port: of the API that the worker takes its tasks from.
        secret_file: what the worker proves itself with, made by `renew_secret`.
    """
    return [
        sys.executable, "-m", "fedehr_client.engine.launch",
        engine_program("flower-supernode"),
        "--root-certificates", str(network.root_certificates),
        "--superlink", network.coordinator,
        "--auth-supernode-private-key", str(network.private_key),
        "--isolation", "process",
        "--superexec-auth-secret-file", str(secret_file),
        "--host", LOOPBACK,
        "--port", str(runtime_port),
    ]  # fmt: skip


def supernode_environment(folder: NodeFolder) -> dict[str, str]:
    """The environment of the SuperNode and of the worker."""
    return engine_environment(
        FLWR_HOME=str(folder.engine_home), **{SITE_FILE: str(folder.site_file)}
    )


def renew_secret(folder: NodeFolder) -> bytes:
    """Write a new secret, readable by the owner only, and return it.

    Raises:
        ConfigError: it cannot be written.
    """
    secret = secrets.token_bytes(SECRET_BYTES)
    try:
        write_private(folder.secret_file, secret)
    except OSError as error:
        raise ConfigError(
            f"cannot write {folder.secret_file}: {error.strerror}. "
            "Mend the node folder's permissions or free the disk."
        ) from error
    return secret
