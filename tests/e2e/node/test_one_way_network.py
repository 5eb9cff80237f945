"""A node in a network of its own, from which it reaches the coordinator's machine and no other.

A study runs to its end; every packet that the node sent first went to the coordinator's port;
nothing of the node listens beyond loopback; what computes has no network at all.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.debian, pytest.mark.long]


@pytest.fixture(scope="module")
def away(node_apps: Any) -> Iterator[Any]:
    reason = node_apps.namespace.why_not()
    if reason:
        pytest.skip(reason)
    with node_apps.namespace.OneWayNamespace() as made:
        yield made


@pytest.fixture(scope="module")
def field(away: Any, make_network: Callable[..., Any], node_apps: Any, hospitals: Any) -> Any:
    """One site in the namespace, and one beside the coordinator."""
    network = make_network(host=node_apps.namespace.HOST)
    inside, outside = hospitals.sites[:2]
    settings = {"ceilings": {"min_cell": 5}, "compute": node_apps.field.ONE_THREAD}
    network.join(outside.name, outside.path, **settings)
    network.join(inside.name, inside.path, around=away.command, **settings)
    return node_apps.field.Field(network)


@pytest.fixture(scope="module")
def run(field: Any, study: Any) -> Any:
    """A study under way."""
    contract, file = field.contract(study)
    field.approve(file)
    return field.start(study, contract, "away")


@pytest.fixture(scope="module")
def node(run: Any, field: Any, node_apps: Any) -> Any:
    return node_apps.node_processes.NodeProcesses(field.network.nodes["hospital-1"])


def test_what_computes_has_no_network(run: Any, node: Any) -> None:
    """Its process ends with its study, so this is asked between two rounds."""
    run.wait_for_rounds(1)
    child, worker = node.one("child"), node.one("worker")
    of_child, of_worker = (Path(f"/proc/{one.pid}/ns/net").readlink() for one in (child, worker))
    status = Path(f"/proc/{child.pid}/status").read_text()
    assert of_child != of_worker or "Seccomp:\t2" in status
    if of_child != of_worker:
        routes = Path(f"/proc/{child.pid}/net/route").read_text().splitlines()[1:]
        devices = Path(f"/proc/{child.pid}/net/dev").read_text().splitlines()[2:]
        assert routes == []
        assert [line.split(":")[0].strip() for line in devices] == ["lo"]
    assert node.sockets("child") == []


def test_the_study_ends_well(run: Any) -> None:
    finished = run.finish()
    assert (finished["status"], finished["missing"]) == ("completed", [])


def test_it_spoke_first_to_nobody_but_the_coordinator(
    run: Any, away: Any, field: Any, node_apps: Any
) -> None:
    run.finish()
    assert away.packets == {("tcp", node_apps.namespace.HOST, field.network.proxy_port)}


def test_nothing_listens_beyond_loopback(node: Any, away: Any) -> None:
    addresses = away.listening()
    assert addresses
    assert addresses <= {"127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"}
    assert {address for address, _ in node.listening()} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
