"""What the SuperNode is started with, and what its output tells."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fedehr_client.engine.one_line_log import MOST_CHARACTERS
from fedehr_client.engine.supernode import (
    Outcome,
    is_broken,
    is_connected,
    outcome_of,
    renew_secret,
    supernode_command,
    supernode_environment,
)
from fedehr_client.node.folder import NodeFolder
from fedehr_client.site import ConnectionConfig

INFO, WARNING, ERROR = (
    f"\x1b[{color}m{name} \x1b[0m: {' ' * (8 - len(name))} "
    for color, name in ((92, "INFO"), (93, "WARNING"), (91, "ERROR"))
)
JOINED = f"{INFO}Starting Flower SuperNode\n{INFO}SuperNode ID: 1234567890\n"
REFUSED = f"{ERROR}Exit Code: 305 | Failed to initialize the connection. | [code: 2004] No.\n"
ENDED = f"{INFO}SuperNode terminated gracefully.\n"
HOSTILE = (
    "1]\nERROR :      x",
    f"1]\n{ERROR}x",
    f"1]\r\n{ERROR}Exit Code: 305\n[code: 2004]",
    f"1]\n{ERROR}Exit Code: 305 | [code: 2004]",
    "1]\nException in thread Thread-3 (_run):\nTraceback (most recent call last):\n",
    f"1]\n{WARNING}Connection attempt failed, retrying in 2.00 seconds",
    f"1]\n{INFO}SuperNode ID: 99\n{ENDED}",
    f"1]\u2028{ERROR}x\x85{ERROR}x\x0b{ERROR}x",
    f"{ERROR}x" * 5_000,
)
PROGRAM = Path(__file__).with_name("receiving_program.py")


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


def logged(program: Path, *arguments: str) -> str:
    """What a program prints that is run as the SuperNode is."""
    done = subprocess.run(
        [sys.executable, "-m", "fedehr_client.engine.launch", program, *arguments],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == b""
    return done.stderr.decode()


def test_the_name_of_a_round_is_not_believed() -> None:
    """The coordinator chooses it, and the engine writes it into its log as it is."""
    output = logged(PROGRAM, *HOSTILE)
    lines = output.splitlines()
    assert len(lines) == 4 * len(HOSTILE)
    assert max(map(len, lines)) < MOST_CHARACTERS + 50
    for number in range(len(HOSTILE)):
        told = "\n".join(lines[4 * number : 4 * number + 4])
        assert "[RUN 11, ROUND " in told
        assert "Receiving: query message" in told
        assert not is_broken(told)
        assert is_connected(told, before=True)
        assert outcome_of(told) == Outcome(None, is_refused=False, is_signature_refused=False)
        assert outcome_of(JOINED + told).node_id == "1234567890"


def test_the_engines_own_words_are_believed(tmp_path: Path) -> None:
    program = tmp_path / "engine.py"
    program.write_text(
        "import sys, threading\n"
        "from flwr.supercore.exit import ExitCode, flwr_exit\n"
        "from flwr.supercore.logger import log\n"
        "def fail(): raise RuntimeError('one\\ntwo')\n"
        "if sys.argv[1] == 'thread':\n"
        "    thread = threading.Thread(target=fail); thread.start(); thread.join()\n"
        "elif sys.argv[1] == 'loop':\n"
        "    fail()\n"
        "elif sys.argv[1] == 'sent':\n"
        "    log(40, 'Failed to send message %s: %s', 12, 'line broke\\nERROR :  x')\n"
        "else:\n"
        "    flwr_exit(305, 'Failed to initialize.\\n[code: 2004] No.', emit_telemetry=False)\n"
    )
    assert is_broken(logged(program, "thread"))
    assert is_broken(logged(program, "loop"))
    assert not is_broken(logged(program, "sent"))
    assert outcome_of(logged(program, "refused")).is_refused


@pytest.mark.parametrize("way", ["returns", "raises", "exits"])
def test_its_process_ends_with_its_loop(tmp_path: Path, way: str) -> None:
    """The engine's API runs in a thread that nobody ends where the loop met an error."""
    program = tmp_path / "engine.py"
    program.write_text(
        "import sys, threading\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "if sys.argv[1] == 'raises':\n"
        "    raise RuntimeError('one')\n"
        "if sys.argv[1] == 'exits':\n"
        "    sys.exit(3)\n"
        "sys.exit(None)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "fedehr_client.engine.launch", program, way],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == {"returns": 1, "raises": 1, "exits": 3}[way]
    assert (b"RuntimeError" in done.stderr) is (way == "raises")
