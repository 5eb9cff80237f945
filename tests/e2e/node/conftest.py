"""What tests of a hospital's node share: small studies, and programs that mean it harm."""

import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

_APPS = Path(__file__).parent / "apps"


def _load(file: Path) -> ModuleType:
    name = f"node_apps_{file.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def node_apps() -> SimpleNamespace:
    """The modules of `apps/`, by their files' names."""
    return SimpleNamespace(**{file.stem: _load(file) for file in _APPS.glob("*.py")})


@pytest.fixture(scope="module")
def study(make_study: Callable[..., Any], node_apps: Any) -> Any:
    return make_study(**node_apps.field.SECTIONS)


@pytest.fixture(scope="module")
def undisturbed(
    study: Any,
    hospitals: Any,
    node_apps: Any,
    run_study_in_process: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """What the module's `study` ends with where nothing happens to it."""
    done = run_study_in_process(study, hospitals.sites[:2], tmp_path_factory.mktemp("undisturbed"))
    digests: dict[str, str] = node_apps.field.digests_of(done.folder)
    return digests


@pytest.fixture(scope="module")
def field(make_network: Callable[..., Any], node_apps: Any, hospitals: Any) -> Iterator[Any]:
    """Two sites; hospital-1 reaches the coordinator through a proxy that holds and cuts."""
    network = make_network()
    made = node_apps.field.Field(network)
    settings = {"ceilings": {"min_cell": 5}, "compute": node_apps.field.ONE_THREAD}
    network.join("hospital-2", hospitals.sites[1].path, **settings)
    made.proxy = node_apps.gated_proxy.GatedProxy(network.coordinator, network.proxy_port)
    straight, network.proxy_port = network.proxy_port, made.proxy.port
    try:
        network.join("hospital-1", hospitals.sites[0].path, **settings)
        network.proxy_port = straight
        yield made
    finally:
        made.proxy.close()


@pytest.fixture(scope="session")
def run_bundle() -> Callable[..., list[dict[str, Any]]]:
    """`run_bundle(network, bundle, run, num_sites, messages)`: what the nodes answered."""
    return _run_bundle


def _run_bundle(
    network: Any,
    bundle: Path,
    run: str,
    *,
    num_sites: int,
    messages: list[Any] | None = None,
    timeout_seconds: float = 120.0,
) -> list[dict[str, Any]]:
    from fedehr_server.network.control import Control
    from fedehr_server.network.coordinator import open_coordinator

    coordinator = open_coordinator(network.coordinator)
    folder = coordinator.runs / run
    folder.mkdir()
    if messages is not None:
        (folder / "asked.json").write_text(json.dumps(messages))
    control = Control(coordinator)
    run_id = control.start_run(bundle, {"study": "0", "run": run, "num-sites": num_sites})
    deadline = time.monotonic() + timeout_seconds
    while not (folder / "result.json").exists():
        assert time.monotonic() < deadline, control.run_output(run_id)
        has_ended = control.run_state(run_id).startswith("finished")
        assert not has_ended or (folder / "result.json").exists(), control.run_output(run_id)
        time.sleep(0.2)
    answers: list[dict[str, Any]] = json.loads((folder / "result.json").read_text())["answers"]
    return answers
