"""The doctor on the line to the coordinator, against real servers that are wrong in one way."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.doctor.finding import Verdict
from fedehr_client.node.connection import check_coordinator
from fedehr_shared.errors import NetworkError

Find = Callable[[Any], dict[str, Any]]
LINE = {"proxy", "dns", "tcp", "tls", "coordinator", "clock", "routes"}


def _edit(node: Any, before: str, after: str) -> None:
    text = node.site_file.read_text()
    assert before in text
    node.site_file.write_text(text.replace(before, after))


def test_a_whole_node_has_nothing_to_mend(make_node: Any, coordinator: Any, findings: Find) -> None:
    found = findings(make_node(f"localhost:{coordinator.port}"))
    failed = {name: each.text for name, each in found.items() if each.verdict is Verdict.FAIL}
    assert failed == {}
    assert found.keys() >= LINE
    assert abs(found["clock"].figures["skew_seconds"]) < 2
    assert 85 < found["tls"].figures["days_left"] <= 90


@pytest.mark.parametrize(
    ("skew", "verdict"),
    [(-400, "fail"), (-90, "warn"), (-20, "ok"), (20, "ok"), (90, "warn"), (400, "fail")],
)
def test_a_clock_is_compared(
    skew: float, verdict: str, make_node: Any, coordinator: Any, line_findings: Find
) -> None:
    coordinator.skew_seconds = skew
    clock = line_findings(make_node(f"localhost:{coordinator.port}"))["clock"]
    assert clock.verdict == verdict
    assert clock.figures["skew_seconds"] == pytest.approx(-skew, abs=2)
    assert ("ahead" in clock.text) == (skew < -60)


@pytest.mark.parametrize(
    ("statuses", "name", "verdict"),
    [
        ({"/v1/fleet/": 502}, "coordinator", "fail"),
        ({"/v1/fleet/": 403}, "coordinator", "fail"),
        ({"/v1/fleet/": 404}, "coordinator", "ok"),
        ({"/v1/control/list-runs": 405}, "routes", "warn"),
        ({"/docs": 200}, "routes", "warn"),
        ({"/docs": 404}, "routes", "ok"),
    ],
)
def test_what_the_coordinators_proxy_lets_through(
    *,
    statuses: dict[str, int],
    name: str,
    verdict: str,
    make_node: Any,
    coordinator: Any,
    line_findings: Find,
) -> None:
    coordinator.statuses |= statuses
    assert line_findings(make_node(f"localhost:{coordinator.port}"))[name].verdict == verdict


def test_a_start_learns_that_only_the_coordinators_proxy_is_up(
    make_node: Any, coordinator: Any
) -> None:
    network = make_node(f"localhost:{coordinator.port}").config().network
    check_coordinator(network.coordinator, network.root_certificates)
    coordinator.statuses |= {"/v1/fleet/": 502}
    with pytest.raises(NetworkError, match=r"status 502.*fedehr-server start"):
        check_coordinator(network.coordinator, network.root_certificates)


@pytest.mark.parametrize(
    ("days", "verdict"), [(40, "ok"), (29.5, "warn"), (6.5, "warn"), (-0.5, "fail")]
)
def test_the_servers_certificate_ends_some_day(
    *,
    days: float,
    verdict: str,
    make_node: Any,
    authority: Any,
    coordinator_ca: Any,
    tmp_path: Path,
    opened: Any,
    line_findings: Find,
) -> None:
    shown = coordinator_ca.issue(tmp_path, "localhost", days=days)
    server = opened(authority.Coordinator(shown))
    tls = line_findings(make_node(f"localhost:{server.port}"))["tls"]
    assert tls.verdict == verdict
    assert tls.text.startswith("URGENT") == (0 < days < 7)


def test_a_certificate_of_tomorrow_means_a_clock_behind(
    *,
    make_node: Any,
    authority: Any,
    coordinator_ca: Any,
    tmp_path: Path,
    opened: Any,
    line_findings: Find,
) -> None:
    shown = coordinator_ca.issue(tmp_path, "localhost", begin=1)
    tls = line_findings(make_node(f"localhost:{opened(authority.Coordinator(shown)).port}"))["tls"]
    assert tls.verdict == "fail"
    assert "set-ntp" in tls.mend


def test_another_name_is_told_and_mending_the_site_file_helps(
    *,
    make_node: Any,
    authority: Any,
    coordinator_ca: Any,
    tmp_path: Path,
    opened: Any,
    line_findings: Find,
) -> None:
    server = opened(authority.Coordinator(coordinator_ca.issue(tmp_path, "localhost")))
    node = make_node(f"127.0.0.1:{server.port}")
    tls = line_findings(node)["tls"]
    assert tls.verdict == "fail"
    assert "is for localhost" in tls.text
    _edit(node, '"127.0.0.1:', '"localhost:')
    assert line_findings(node)["tls"].verdict == "ok"


def test_a_stranger_at_the_port_is_named(
    make_node: Any, authority: Any, tmp_path: Path, opened: Any, line_findings: Find
) -> None:
    stranger = authority.Authority("Hospital Web Proxy")
    server = opened(authority.Coordinator(stranger.issue(tmp_path, "localhost")))
    node = make_node(f"localhost:{server.port}")
    tls = line_findings(node)["tls"]
    assert tls.verdict == "fail"
    assert "CN=Hospital Web Proxy" in tls.text
    assert tls.figures["issuer"] == "CN=Hospital Web Proxy"
    # The mending line, followed to the letter.
    assert 'root_certificates = "proxy-ca.crt"' in tls.mend
    stranger.write(node.path / "proxy-ca.crt")
    _edit(node, 'root_certificates = "ca.crt"', 'root_certificates = "proxy-ca.crt"')
    found = line_findings(node)
    assert found["tls"].verdict == "ok"
    assert "CN=Hospital Web Proxy" in found["tls"].text
    assert found["contract_authority"].verdict == "ok"


def test_a_port_that_speaks_something_else(
    make_node: Any, authority: Any, opened: Any, line_findings: Find
) -> None:
    tls = line_findings(make_node(f"localhost:{opened(authority.Plain()).port}"))["tls"]
    assert tls.verdict == "fail"
    assert "does not speak TLS" in tls.text


def test_a_coordinator_that_is_down_fails_one_check_alone(make_node: Any, findings: Find) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = findings(make_node(f"localhost:{port}"))
    failed = [name for name, each in found.items() if each.verdict is Verdict.FAIL]
    assert failed == ["tcp"]
    assert "may be started" in found["tcp"].mend


def test_a_name_that_nobody_knows(make_node: Any, line_findings: Find) -> None:
    found = line_findings(make_node("no-such-host.invalid:443"))
    assert found["dns"].verdict == "fail"
    assert "getent hosts no-such-host.invalid" in found["dns"].mend
    assert "tcp" not in found
