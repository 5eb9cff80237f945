"""Who gets in: only the fleet routes, only over TLS, only with a registered key."""

import http.client
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedehr_server.network.coordinator import open_coordinator
from fedehr_server.network.submission import submit, watch
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DeadlineError
from fedehr_shared.processes import ProcessFamily, engine_environment

pytestmark = [pytest.mark.e2e, pytest.mark.debian]

APPS = Path(__file__).parent / "network_apps"
COMPLETES, RAISES, WAITS, FAILS = range(4)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records") / "north"
    for part in ("data", "metadata", "labels"):
        (folder / part).mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def network(make_network: Callable[..., Any], records: Path) -> Iterator[Any]:
    before = os.environ.get("PYTHONPATH")
    # `submit` runs in this process and hands its environment to the engine's command line.
    os.environ["PYTHONPATH"] = str(APPS)
    try:
        made = make_network()
        made.join("north", records)
        yield made
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _ask(network: Any, path: str, method: str = "POST") -> int:
    context = ssl.create_default_context(cafile=str(network.coordinator / "pki" / "ca.crt"))
    link = http.client.HTTPSConnection("localhost", network.proxy_port, context=context, timeout=10)
    # `putrequest` sends the path as it is: no client may tidy it up first.
    link.putrequest(method, path)
    link.putheader("Content-Length", "0")
    link.endheaders()
    try:
        return link.getresponse().status
    finally:
        link.close()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/control/list-runs",
        "/v1/control/start-run",
        "/v1/control/register-node",
        "/v1/runtime/acquire-task",
        "/docs",
        "/openapi.json",
        "/health",
        "/v1/fleet",
        "/v1/fleet/../control/list-runs",
        "/v1/fleet/%2e%2e/control/list-runs",
        "/v1/fleet/..%2fcontrol/list-runs",
        "/v1/fleet/%2e%2e%2fcontrol%2flist-runs",
        "/v1/fleet%2f..%2fcontrol/list-runs",
        "/v1/fleet/.././control/list-runs",
        "//v1//control//list-runs",
        "/V1/CONTROL/list-runs",
    ],
)
def test_every_other_route_is_refused(network: Any, path: str) -> None:
    assert _ask(network, path) == 403
    assert _ask(network, path, "GET") == 403


@pytest.mark.parametrize(
    "path",
    [
        "/v1/fleet/%252e%252e/control/list-runs",
        "/v1/fleet/..;/control/list-runs",
        "/v1/fleet/\\..\\control\\list-runs",
    ],
)
def test_what_only_looks_like_a_fleet_route_finds_nothing(network: Any, path: str) -> None:
    log = network.coordinator / "logs" / "superlink.log"
    start = log.stat().st_size
    assert _ask(network, path) == 404
    assert "/v1/control" not in log.read_bytes()[start:].decode()


def test_fleet_routes_reach_the_engine(network: Any) -> None:
    # The engine itself answers: it wants protobuf.
    assert _ask(network, "/v1/fleet/pull-messages") == 415
    assert [site["state"] for site in network.status()["sites"]] == ["online"]


def test_an_unknown_key_is_refused(network: Any, records: Path) -> None:
    node = network.init_node("stranger", records)
    done = network.run("fedehr-client", "start", node, "--detach")
    assert done.returncode == 5
    assert "site add" in done.stderr
    assert _members(node / "state" / "supernode.json") == []


def test_a_wrong_authority_is_refused(network: Any, records: Path, tmp_path: Path) -> None:
    network.must("fedehr-server", "init", tmp_path / "other", "--host", "localhost")
    node = network.init_node("misled", records, ca=tmp_path / "other" / "pki" / "ca.crt")
    done = network.run("fedehr-client", "start", node, "--detach")
    assert done.returncode == 5
    assert "ca.crt" in done.stderr


def test_nobody_there_is_said(network: Any, records: Path) -> None:
    node = network.init_node("early", records)
    file = node / "site.toml"
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        file.write_text(file.read_text().replace(f":{network.proxy_port}", f":{port}"))
        done = network.run("fedehr-client", "start", node, "--detach")
    assert done.returncode == 5
    assert f"localhost:{port}" in done.stderr


@pytest.mark.parametrize("through_proxy", [True, False])
def test_a_node_without_tls_is_refused(
    network: Any, tmp_path: Path, *, through_proxy: bool
) -> None:
    port = network.proxy_port if through_proxy else network.port
    done = network.run(
        "flower-supernode", "--insecure", "--superlink", f"localhost:{port}",
        "--max-retries", 2, "--port", _free_port(),
        environ=engine_environment(FLWR_HOME=str(tmp_path)), timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert "SuperNode ID" not in done.stdout + done.stderr


def test_a_node_without_a_key_is_refused(network: Any, tmp_path: Path) -> None:
    done = network.run(
        "flower-supernode", "--root-certificates", network.coordinator / "pki" / "ca.crt",
        "--superlink", f"localhost:{network.proxy_port}", "--port", _free_port(),
        environ=engine_environment(FLWR_HOME=str(tmp_path)), timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert "2001" in done.stdout + done.stderr, "the engine lets no site register itself"
    assert "SuperNode ID" not in done.stdout + done.stderr


def test_the_engine_listens_on_loopback_only_and_calls_nobody(network: Any) -> None:
    server = _members(network.coordinator / "state" / "superlink.json")
    state = network.nodes["north"] / "state"
    client = [*_members(state / "supernode.json"), *_members(state / "worker.json")]
    assert len(server) >= 2, "SuperLink and SuperExec"
    assert len(client) == 2, "SuperNode and worker, and nothing that unpacks a bundle"
    assert "--isolation process" in " ".join(client[0].cmdline())
    for process in server + client:
        environ = process.environ()
        assert environ["FLWR_TELEMETRY_ENABLED"] == "0"
        assert environ["FLWR_DISABLE_UPDATE_CHECK"] == "1"
        assert environ["FLWR_HOME"].startswith(str(network.folder))
        assert "--allow-runtime-dependency-installation" not in process.cmdline()
        listening = [link.laddr.ip for link in process.net_connections("inet")
                     if link.status == psutil.CONN_LISTEN]  # fmt: skip
        assert set(listening) <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert "--disable-runtime-dependency-installation" in server[0].cmdline()
    assert "--enable-supernode-auth" in server[0].cmdline()


def test_a_taken_port_is_named(network: Any, tmp_path: Path) -> None:
    port = str(network.port)
    other = tmp_path / "other"
    network.must("fedehr-server", "init", other, "--host", "localhost", "--port", port)
    done = network.run("fedehr-server", "start", other, "--detach")
    assert done.returncode == 5
    assert port in done.stderr
    assert "coordinator.toml" in done.stderr


def _study(seed: int) -> StudyConfig:
    return StudyConfig.model_validate(
        {
            "name": "lab",
            "seed": seed,
            "federation": {"min_sites": 1},
            "finetuning": {"tasks": ["death"]},
        }
    )


def _run(network: Any, seed: int, timeout_seconds: float = 90) -> tuple[dict, list[dict]]:
    coordinator = open_coordinator(network.coordinator)
    events: list[dict] = []
    run = submit(coordinator, _study(seed), f"lab-{seed}", bundle=APPS / "bundle.toml")
    return watch(coordinator, run, timeout_seconds, events.append), events


def test_a_run_completes_and_its_processes_are_as_quiet(network: Any) -> None:
    result, events = _run(network, COMPLETES)
    assert result["status"] == "completed"
    assert [event["event"] for event in events] == ["joined", "round"]
    assert result["server"]["environ"]["FLWR_TELEMETRY_ENABLED"] == "0"
    assert result["server"]["environ"]["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    for command in (result["server"]["own"], result["server"]["parent"]):
        assert "--allow-runtime-dependency-installation" not in command
    # The lab's ClientApp was not run, and of the node's answer a code is all that there is.
    (answer,) = result["clients"]
    assert answer.keys() == {"error"}
    assert answer["error"]["code"] == "wire"


def test_a_raising_run_has_failed(network: Any) -> None:
    result, _ = _run(network, RAISES)
    assert (result["status"], result["exit_code"]) == ("failed", 1)
    log = open_coordinator(network.coordinator).run_log(f"lab-{RAISES}")
    assert str(log) in result["message"]
    assert "the lab's ServerApp raises" in log.read_text()
    states = {run["run"]: run["state"] for run in network.status()["runs"]}
    assert states[f"lab-{RAISES}"] == "failed"


def test_a_failed_result_keeps_its_exit_code(network: Any) -> None:
    result, _ = _run(network, FAILS)
    assert (result["status"], result["exit_code"]) == ("failed", 6)


def test_a_late_run_is_stopped(network: Any) -> None:
    with pytest.raises(DeadlineError, match=r"8 seconds"):
        _run(network, WAITS, timeout_seconds=8)
    states = {run["run"]: run["state"] for run in network.status()["runs"]}
    assert states[f"lab-{WAITS}"] == "stopped"


def test_a_removed_site_cannot_come_back(network: Any, records: Path) -> None:
    node = network.join("leaver", records)
    network.must("fedehr-client", "stop", node)
    network.must("fedehr-server", "site", "remove", network.coordinator, "leaver")
    done = network.run(
        "fedehr-server", "site", "add", network.coordinator, "leaver", node / "node.key.pub"
    )
    assert done.returncode == 5
    assert "new one" in done.stderr
    listed = json.loads(
        network.must("fedehr-server", "site", "list", network.coordinator, "--json")
    )
    assert [site["name"] for site in listed] == ["north"]


def test_stopping_ends_every_process(network: Any) -> None:
    """Last: it takes the network down, one end in the foreground and one after a kill -9."""
    node = network.nodes["north"]
    client = _members(node / "state" / "supernode.json")
    assert "none left" in network.must("fedehr-client", "stop", node)
    assert _alive(client) == []
    server = _members(network.coordinator / "state" / "superlink.json")
    server[0].send_signal(signal.SIGKILL)
    network.must("fedehr-server", "stop", network.coordinator)
    assert _alive(server) == []
    assert network.status()["superlink"]["serving"] is False


def test_a_foreground_start_ends_on_sigterm(network: Any) -> None:
    with psutil.Popen(
        [str(_program("fedehr-server")), "start", str(network.coordinator)],
        stdout=-1, env=network.environ, text=True,
    ) as process:  # fmt: skip
        assert "serves on" in process.stdout.readline()
        family = _members(network.coordinator / "state" / "superlink.json")
        assert network.status()["superlink"]["serving"] is True
        process.terminate()
        assert process.wait(30) == 0
    assert _alive(family) == []


def _program(name: str) -> Path:
    return Path(sys.executable).parent / name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _members(record: Path) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in ProcessFamily(record).members()]


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; one that only waits for its parent's notice (a zombie) does not."""
    return [
        process
        for process in processes
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]
