"""A node whose clock is wrong: small differences do not matter, large ones are told by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.debian, pytest.mark.long]


@pytest.fixture(scope="module")
def network(make_network: Callable[..., Any], hospitals: Any, node_apps: Any) -> Any:
    if reason := node_apps.shifted_clock.why_not():
        pytest.skip(reason)
    made = make_network()
    for name, site in zip(("slow", "fast", "late"), hospitals.sites, strict=True):
        node = made.init_node(name, site.path)
        made.must("fedehr-server", "site", "add", made.coordinator, name, node / "node.key.pub")
    return made


@pytest.fixture
def environ_of(network: Any, node_apps: Any, tmp_path: Path) -> Callable[[int], dict[str, str]]:
    """The environment of a node whose clock is off by so many seconds."""

    def make(seconds: int) -> dict[str, str]:
        return {**network.environ, **node_apps.shifted_clock.environ_of(tmp_path, seconds)}

    return make


@pytest.mark.parametrize(("name", "seconds"), [("slow", -3_600), ("fast", 3_600)])
def test_an_hour_is_told_as_the_clock(
    network: Any, environ_of: Callable[[int], dict[str, str]], name: str, seconds: int
) -> None:
    node, environ = network.nodes[name], environ_of(seconds)
    done = network.run("fedehr-client", "start", node, "--detach", environ=environ)
    network.run("fedehr-client", "stop", node)
    assert done.returncode == 5, done.stderr
    assert "clock" in done.stderr
    checked = network.run("fedehr-client", "doctor", node, "--json", environ=environ)
    assert checked.returncode == 1
    (found,) = (one for one in json.loads(checked.stdout)["checks"] if one["name"] == "clock")
    assert found["verdict"] == "fail", found
    assert abs(found["figures"]["skew_seconds"] - seconds) < 60, found


def test_a_minute_late_is_no_hindrance(
    network: Any, environ_of: Callable[[int], dict[str, str]]
) -> None:
    """The engine itself allows minutes behind and five seconds ahead."""
    node = network.nodes["late"]
    done = network.run("fedehr-client", "start", node, "--detach", environ=environ_of(-60))
    assert done.returncode == 0, done.stderr
    status = json.loads(network.must("fedehr-client", "status", node, "--json"))
    assert status["state"] in {"joined", "idle", "ready", "working"}, status
