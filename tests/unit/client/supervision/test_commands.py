"""`status`, `pause`, `logs` and `leave` of a node that is not running."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedehr_client.audit.log import Audit
from fedehr_client.cli.main import app
from fedehr_client.node.folder import NodeFolder, create_node
from fedehr_client.supervision.left_marker import LEFT_FILE
from fedehr_shared.errors import FedehrError

ROOT = Path(__file__).parents[4]
PROGRAM = Path(sys.executable).parent / "fedehr-client"


@pytest.fixture
def node(tmp_path: Path) -> NodeFolder:
    (tmp_path / "records" / "data").mkdir(parents=True)
    return create_node(tmp_path / "node", "north", tmp_path / "records", "localhost:443", None)


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def _run(command: str, node: NodeFolder, *words: str) -> Done:
    """In this process: a program takes a second to start."""
    result = CliRunner().invoke(app, [command, str(node.path), *words])
    if isinstance(result.exception, FedehrError):
        return Done(result.exception.exit_code, result.stdout, str(result.exception))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def _events(node: NodeFolder) -> list[str]:
    Audit(node.audit_file).verify()
    return [json.loads(line)["event"] for line in node.audit_file.read_text().splitlines()]


def test_a_node_that_never_ran_has_a_status(node: NodeFolder) -> None:
    done = _run("status", node, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["running"], told["state"], told["ready"], told["paused"]) == (
        False, "stopped", False, None,
    )  # fmt: skip
    assert (told["processes"], told["studies"], told["last_round"]) == ([], {}, None)
    assert (told["spent_epsilon"], told["sent_bytes_last_day"]) == (0, 0)
    listed = re.findall(
        r"^\| (`[a-z_`, ]+`) \|", (ROOT / "docs" / "node.md").read_text(), re.MULTILINE
    )
    keys = {key.strip("` ") for cell in listed for key in cell.split(",")}
    assert set(told) <= keys, "the page names every key"


def test_a_pause_and_its_end_are_written_down(node: NodeFolder) -> None:
    assert _run("pause", node, "--reason", "a [red]reason[/red]").returncode == 0
    told = json.loads(_run("status", node, "--json").stdout)
    assert told["paused"]["reason"] == "a [red]reason[/red]"
    assert "works again" in _run("resume", node).stdout
    assert "was not paused" in _run("resume", node).stdout
    assert _events(node) == ["pause", "resume"]
    assert "reason" not in node.audit_file.read_text()


def test_logs_show_their_ends(node: NodeFolder) -> None:
    logs = node.log_file.parent
    for name in ("worker", "node"):
        (logs / f"{name}.log").write_text("".join(f"{name} [b]{n}\n" for n in range(40)))
    both = _run("logs", node, "--lines", "2").stdout.splitlines()
    assert both == [
        "node: node [b]38", "node: node [b]39", "worker: worker [b]38", "worker: worker [b]39",
    ]  # fmt: skip
    one = _run("logs", node, "--process", "worker", "--lines", "1").stdout
    assert one == "worker [b]39\n"
    done = _run("logs", node, "--process", "../audit")
    assert done.returncode == 2
    assert "supernode" in done.stderr


def test_logs_can_be_followed(node: NodeFolder) -> None:
    file = node.log_file.parent / "worker.log"
    file.write_text("first\n")
    with subprocess.Popen(
        [str(PROGRAM), "logs", str(node.path), "--follow", "--process", "worker"],
        stdout=subprocess.PIPE, text=True, env={"PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "first\n"
        with file.open("a") as stream:
            stream.write("second\n")
        assert process.stdout.readline() == "second\n"
        process.terminate()


def _fill_work(node: NodeFolder) -> tuple[Path, Path]:
    work = node.path / "work"
    store = work / "tokens" / "abc"
    store.mkdir(parents=True)
    (store / "manifest.json").write_text("{}")
    (store / "ids.npy").write_bytes(b"numbers of subjects")
    ledger = work / "privacy" / "ledger.jsonl"
    ledger.parent.mkdir()
    ledger.write_text("{}\n")
    return store, ledger


def test_leaving_keeps_everything_unless_told(node: NodeFolder) -> None:
    store, ledger = _fill_work(node)
    done = _run("leave", node)
    assert done.returncode == 0, done.stderr
    assert "fedehr-server site remove DIR north" in done.stdout
    assert store.exists()
    assert ledger.exists()
    assert _events(node) == ["leave"]


def test_who_has_left_is_told_so_until_the_next_start(node: NodeFolder) -> None:
    first = _run("leave", node).stdout
    assert "stopped" in first
    done = _run("leave", node)
    assert done.returncode == 0
    assert re.search(r"this node left on \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", done.stdout)
    assert "stopped" not in done.stdout
    assert _events(node) == ["leave"]
    # A damaged marker hides nothing: it leaves once more.
    (node.state / LEFT_FILE).write_text("[]")
    assert _run("leave", node).stdout == first
    assert _events(node) == ["leave", "leave"]


def test_leaving_never_takes_the_ledger_along_by_accident(node: NodeFolder) -> None:
    store, ledger = _fill_work(node)
    done = _run("leave", node, "--yes-erase-ledger")
    assert done.returncode == 2
    assert ledger.exists()
    assert _run("leave", node, "--erase-work").returncode == 0
    assert not store.exists()
    assert ledger.exists()
    assert _run("leave", node, "--erase-work", "--yes-erase-ledger").returncode == 0
    assert not ledger.exists()
    for kept in ("site.toml", "node.key", "audit.jsonl"):
        assert (node.path / kept).exists()
    assert (node.path.parent / "records" / "data").exists()


def test_a_damaged_ledger_has_no_number(node: NodeFolder) -> None:
    _, ledger = _fill_work(node)
    ledger.write_text('{"previous": "x"}\n')
    told = json.loads(_run("status", node, "--json").stdout)
    assert told["spent_epsilon"] is None
    assert "unknown" in _run("status", node).stdout


def test_the_start_warns_of_a_key_that_others_may_read(node: NodeFolder) -> None:
    node.private_key.chmod(0o640)
    shutil.rmtree(node.config().site.records)  # so that it goes no further
    done = subprocess.run(
        [PROGRAM, "start", node.path], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 4
    told = " ".join(done.stderr.split())
    assert f"chmod 600 {node.private_key}" in told
    assert f"--out {node.config().site.records}" in told
    assert "[site] records" in told


def test_a_pause_is_told_once(node: NodeFolder) -> None:
    _run("pause", node, "--reason", "MRI")
    told = _run("status", node).stdout
    assert told.count("paused since") == 1, told
