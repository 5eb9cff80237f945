"""A node's folder, coordinators and web proxies, however wrong."""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.doctor.certificate_check import check_certificates
from fedehr_client.doctor.doctor import examine
from fedehr_client.doctor.finding import Finding
from fedehr_client.doctor.line_check import check_line
from fedehr_client.node.folder import NodeFolder, create_node


def _load(name: str) -> Any:
    file = Path(__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"doctor_{name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def authority() -> Any:
    """The module `authority.py`."""
    return _load("authority")


@pytest.fixture(scope="session")
def connect_proxy(authority: Any) -> Any:
    """The module `connect_proxy.py`."""
    return _load("connect_proxy")


@pytest.fixture(autouse=True)
def no_web_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that runs the tests may have a web proxy of its own."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def coordinator_ca(authority: Any) -> Any:
    return authority.Authority("fedehr CA test")


@pytest.fixture
def make_node(tmp_path: Path, hospitals: Any, coordinator_ca: Any) -> Callable[..., NodeFolder]:
    """`make_node("localhost:443")`: a node that lacks nothing."""

    def make(coordinator: str, records: Path | None = None) -> NodeFolder:
        ca = coordinator_ca.write(tmp_path / "ca.crt")
        place = records or hospitals.sites[0].path
        return create_node(tmp_path / "node", "north", place, coordinator, ca)

    return make


@pytest.fixture
def opened() -> Iterator[Callable[[Any], Any]]:
    """`opened(listener)`: closed at the end of the test."""
    listeners: list[Any] = []

    def keep(listener: Any) -> Any:
        listeners.append(listener)
        return listener

    yield keep
    for listener in listeners:
        listener.close()


@pytest.fixture
def coordinator(
    authority: Any, coordinator_ca: Any, tmp_path: Path, opened: Callable[[Any], Any]
) -> Any:
    """One that is as it should be, at `localhost`."""
    certificate = coordinator_ca.issue(tmp_path, "localhost")
    return opened(authority.Coordinator(certificate))


@pytest.fixture(scope="session")
def line_findings() -> Callable[[NodeFolder], dict[str, Finding]]:
    """What the doctor finds on the line and of its certificates alone, by name."""

    def find(node: NodeFolder) -> dict[str, Finding]:
        network = node.config().network
        found = [*check_certificates(network), *check_line(network, node.site_file)]
        return {each.name: each for each in found}

    return find


@pytest.fixture(scope="session")
def findings() -> Callable[[NodeFolder], dict[str, Finding]]:
    """What the doctor finds, by name; the worst where a name comes twice."""

    def find(node: NodeFolder) -> dict[str, Finding]:
        order = {"ok": 0, "warn": 1, "fail": 2}
        found = sorted(examine(node), key=lambda each: order[each.verdict.value])
        return {each.name: each for each in found}

    return find
