"""The doctor behind a hospital's web proxy: nothing but the proxy knows the coordinator."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(sys.executable).parent / "fedehr-client"
NAME = "fedehr.test"
"""Nobody but the proxy can look it up."""
Find = Callable[[Any], dict[str, Any]]


@pytest.fixture
def behind(authority: Any, coordinator_ca: Any, tmp_path: Path, opened: Any) -> Any:
    return opened(authority.Coordinator(coordinator_ca.issue(tmp_path, NAME)))


@pytest.fixture
def proxy(connect_proxy: Any, behind: Any, opened: Any) -> Any:
    return opened(connect_proxy.ConnectProxy({f"{NAME}:443": behind.port}))


def test_the_way_leads_through_the_proxy(
    make_node: Any, proxy: Any, line_findings: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make_node(f"{NAME}:443")
    assert line_findings(node)["dns"].verdict == "fail"
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    found = line_findings(node)
    assert {name for name, each in found.items() if each.verdict == "fail"} == set()
    assert proxy.url in found["proxy"].text
    assert set(proxy.asked) == {f"{NAME}:443"}
    assert {"tls", "clock", "routes", "coordinator"} <= found.keys()


def test_a_password_is_asked_for_used_and_never_shown(
    make_node: Any, proxy: Any, line_findings: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.user = "nurse:hunter2"
    node = make_node(f"{NAME}:443")
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    assert "USER:PASSWORD@" in line_findings(node)["tls"].mend
    signed_in = proxy.url.replace("//", "//nurse:hunter2@")
    monkeypatch.setenv("HTTPS_PROXY", signed_in)
    assert line_findings(node)["tls"].verdict == "ok"
    shown = subprocess.run(
        [str(PROGRAM), "doctor", str(node.path)],
        env={**os.environ, "HTTPS_PROXY": signed_in},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stdout
    assert "hunter2" not in shown.stdout + shown.stderr


@pytest.mark.parametrize(("status", "who"), [(403, "web proxy to allow"), (502, "is up")])
def test_a_proxy_that_refuses_is_told_apart(
    *,
    status: int,
    who: str,
    make_node: Any,
    proxy: Any,
    line_findings: Find,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy.refuses_with = status
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    tls = line_findings(make_node(f"{NAME}:443"))["tls"]
    assert tls.verdict == "fail"
    assert who in tls.mend


def test_a_proxy_that_is_down_is_told_apart(
    make_node: Any, line_findings: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    found = line_findings(make_node(f"{NAME}:443"))
    assert found["tcp"].verdict == "fail"
    assert "HTTPS_PROXY" in found["tcp"].mend


def test_no_proxy_is_obeyed_and_what_does_nothing_is_said(
    make_node: Any, proxy: Any, line_findings: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,test")
    found = line_findings(make_node(f"{NAME}:443"))
    assert "directly" in found["proxy"].text
    assert found["dns"].verdict == "fail"
    assert "10.0.0.0/8" in found["no_proxy"].text
    assert proxy.asked == []


def test_a_proxy_that_opens_tls_needs_its_own_authority(
    *,
    make_node: Any,
    authority: Any,
    connect_proxy: Any,
    behind: Any,
    opened: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line_findings: Find,
) -> None:
    node = make_node(f"{NAME}:443")
    hospital = authority.Authority("Hospital Web Proxy")
    opening = opened(
        connect_proxy.ConnectProxy({f"{NAME}:443": behind.port}, hospital, tmp_path / "ca.crt")
    )
    monkeypatch.setenv("HTTPS_PROXY", opening.url)
    refused = line_findings(node)["tls"]
    assert refused.verdict == "fail"
    assert "CN=Hospital Web Proxy" in refused.text
    hospital.write(node.path / "proxy-ca.crt")
    text = node.site_file.read_text()
    node.site_file.write_text(
        text.replace('root_certificates = "ca.crt"', 'root_certificates = "proxy-ca.crt"')
    )
    found = line_findings(node)
    assert {name for name, each in found.items() if each.verdict == "fail"} == set()
    assert b"GET /v1/fleet/" in opening.opened


def test_json_says_the_same_and_the_exit_code_too(make_node: Any, proxy: Any) -> None:
    node = make_node(f"{NAME}:443")

    def ask(**environ: str) -> tuple[int, Any]:
        done = subprocess.run(
            [str(PROGRAM), "doctor", str(node.path), "--json"],
            env={**os.environ, **environ}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout)

    code, told = ask()
    assert (code, told["ready"]) == (1, False)
    failed = [each for each in told["checks"] if each["verdict"] == "fail"]
    assert [each["name"] for each in failed] == ["dns"]
    assert all(each["mend"] for each in failed)
    code, told = ask(HTTPS_PROXY=proxy.url)
    assert (code, told["ready"]) == (0, True)
