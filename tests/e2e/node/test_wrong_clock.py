"""A node whose clock is wrong: small differences do not matter, large ones are told by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.debian, pytest.mark.long]

CLOCK = Path(__file__).parent / "apps" / "shifted_clock"


@pytest.fixture(scope="module")
def network(make_network: Callable[..., Any], hospitals: Any) -> Any:
    made = make_network()
    for name, site in zip(("slow", "fast", "late"), hospitals.sites, strict=True):
        node = made.init_node(name, site.path)
        made.must("fedehr-server", "site", "add", made.coordinator, name, node / "node.key.pub")
    return made


def _environ(network: Any, seconds: float) -> dict[str, str]:
    return {
        **network.environ,
        "PYTHONPATH": str(CLOCK),
        "FEDEHR_LAB_CLOCK_SECONDS": str(seconds),
    }


@pytest.mark.parametrize(("name", "seconds"), [("slow", -3_600), ("fast", 3_600)])
def test_an_hour_is_told_as_the_clock(network: Any, name: str, seconds: float) -> None:
    node, environ = network.nodes[name], _environ(network, seconds)
    done = network.run("fedehr-client", "start", node, "--detach", environ=environ)
    network.run("fedehr-client", "stop", node)
    assert done.returncode == 5, done.stderr
    assert "clock" in done.stderr
    checked = network.run("fedehr-client", "doctor", node, "--json", environ=environ)
    assert checked.returncode != 0
    assert "clock" in json.dumps(json.loads(checked.stdout)).lower()


def test_a_minute_late_is_no_hindrance(network: Any) -> None:
    """The engine itself allows minutes behind and five seconds ahead."""
    node = network.nodes["late"]
    environ = _environ(network, -60)
    done = network.run("fedehr-client", "start", node, "--detach", environ=environ)
    assert done.returncode == 0, done.stderr
    status = json.loads(network.must("fedehr-client", "status", node, "--json"))
    assert status["state"] in {"joined", "idle", "ready", "working"}, status
