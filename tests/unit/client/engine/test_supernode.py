"""What the SuperNode is started with, and what its output tells."""

import stat
from pathlib import Path

import pytest

from fedehr_client.engine.supernode import (
    outcome_of,
    renew_secret,
    supernode_command,
    supernode_environment,
)
from fedehr_client.node.folder import NodeFolder
from fedehr_client.site import ConnectionConfig

JOINED = "INFO :      Starting Flower SuperNode\nINFO :      SuperNode ID: 1234567890\n"
REFUSED = "Failed to initialize the connection to the SuperLink.\n[code: 2004] no such node\n"
ENDED = "SuperNode terminated gracefully.\n"


def test_only_who_knows_the_secret_gets_tasks_and_nothing_is_installed(tmp_path: Path) -> None:
    network = ConnectionConfig(
        coordinator="c.example.org:443",
        root_certificates=tmp_path / "ca.crt",
        private_key=tmp_path / "node.key",
    )
    command = supernode_command(network, 9_999, tmp_path / "secret")
    assert command[command.index("--isolation") + 1] == "process"
    assert command[command.index("--superexec-auth-secret-file") + 1] == str(tmp_path / "secret")
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert not {"--insecure", "--allow-runtime-dependency-installation"} & set(command)
    environ = supernode_environment(NodeFolder(tmp_path))
    assert environ["FLWR_TELEMETRY_ENABLED"] == "0"
    assert environ["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert "127.0.0.1" in environ["NO_PROXY"]


def test_each_secret_is_new_and_its_owners_alone(tmp_path: Path) -> None:
    node = NodeFolder(tmp_path)
    first, second = renew_secret(node), renew_secret(node)
    assert first != second
    assert len(second) == 32
    assert node.secret_file.read_bytes() == second
    assert stat.S_IMODE(node.secret_file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("output", "node_id", "is_refused", "is_signature_refused"),
    [
        ("", None, False, False),
        (JOINED, "1234567890", False, False),
        (REFUSED, None, True, False),
        (ENDED, None, False, True),
        (JOINED + ENDED, "1234567890", False, False),
    ],
)
def test_the_output_tells_how_a_start_went(
    output: str, node_id: str | None, is_refused: bool, is_signature_refused: bool
) -> None:
    outcome = outcome_of(output)
    assert outcome.node_id == node_id
    assert outcome.is_joined == (node_id is not None)
    assert outcome.is_refused == is_refused
    assert outcome.is_signature_refused == is_signature_refused
