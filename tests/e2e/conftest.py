"""A real network on loopback: SuperLink, nginx and SuperNodes, all by our own commands."""

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

_APPS = Path(__file__).parent / "network_apps"
# Apps import one another by name alone, those of tests further down too.
sys.path.insert(0, str(_APPS))


def _load(stem: str) -> ModuleType:
    name = f"network_apps_{stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, _APPS / f"{stem}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def network_module() -> ModuleType:
    """The module `network_apps/network.py`."""
    return _load("network")


@pytest.fixture(scope="session")
def recording_proxy() -> Any:
    """The module `network_apps/recording_proxy.py`."""
    return _load("recording_proxy")


@pytest.fixture(scope="module")
def make_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Opens networks (`make_network(host, **environ)`) and closes them all at the end."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed (apt-get install nginx-light)")
    module, opened = _load("network"), []

    def make(host: str = "localhost", **environ: str) -> Any:
        opened.append(module.Network(tmp_path_factory.mktemp("network"), environ, host))
        opened[-1].open()
        return opened[-1]

    try:
        yield make
    finally:
        for network in opened:
            network.close()
