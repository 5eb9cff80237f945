"""`fedehr-client start` of a node whose coordinator is away, as a person at a terminal sees it."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedehr_client.node.folder import NodeFolder, create_node
from fedehr_client.supervision import node_link
from fedehr_client.supervision.joined_before import JoinedBefore
from fedehr_client.supervision.left_marker import LeftMarker
from fedehr_client.supervision.node_link import NodeLink
from fedehr_server.network.certificates import create_certificates

PROGRAM = Path(sys.executable).parent / "fedehr-client"
LONG_SECONDS = 60.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def make_node(tmp_path: Path) -> Callable[[int], NodeFolder]:
    def make(port: int) -> NodeFolder:
        (tmp_path / "records" / "data").mkdir(parents=True)
        (tmp_path / "pki").mkdir()
        create_certificates(tmp_path / "pki", "localhost")
        ca = tmp_path / "pki" / "ca.crt"
        place = tmp_path / "records"
        return create_node(tmp_path / "node", "north", place, f"127.0.0.1:{port}", ca)

    return make


def test_an_attempt_that_tells_nothing_says_that_it_goes_on(
    make_node: Callable[[int], NodeFolder],
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(node_link, "SILENCE_SECONDS", 0.5)
    caplog.set_level("INFO")
    node = make_node(listener.getsockname()[1])
    link = NodeLink(node, node.config().network)
    began = time.monotonic()
    while time.monotonic() - began < 1.5:
        link.advance()
        time.sleep(0.05)
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"{node.config().network.coordinator} has not answered yet; trying on"]
    assert link.problem is None


def test_a_coordinator_that_is_away_is_told_and_a_second_start_refused_at_once(
    make_node: Callable[[int], NodeFolder],
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        node = make_node(nobody.getsockname()[1])
        JoinedBefore(node.state, node.config().network).note()
        LeftMarker(node.state).set()
        command = [str(PROGRAM), "start", str(node.path)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as first:
            assert first.stderr is not None
            try:
                began = time.monotonic()
                for line in first.stderr:
                    if "The node keeps trying" in line:
                        break
                assert time.monotonic() - began < LONG_SECONDS
                assert f"cannot reach {node.config().network.coordinator}" in line
                assert LeftMarker(node.state).since() is None, "it takes part again"
                again = subprocess.run(
                    command, capture_output=True, text=True, check=False, timeout=LONG_SECONDS
                )
                assert again.returncode == 2
                assert "runs already" in again.stderr
                assert "joining" not in again.stderr
                assert first.poll() is None
            finally:
                first.send_signal(signal.SIGTERM)
            first.stderr.read()
        assert first.returncode == 0
