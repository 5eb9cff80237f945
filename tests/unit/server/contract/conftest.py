"""Nodes that answer from what they answered before, and know contracts."""

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fedehr_server.network.coordinator import (
    CoordinatorFolder,
    CoordinatorNetworkConfig,
    create_coordinator,
)
from fedehr_shared.contract.requests import EndAnswer, ProposalAnswer, kind_of
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import WorkId

NAMES = {0: "hospital-1", 1: "hospital-2", 2: "hospital-3"}
Change = Callable[[int, str, Payload, Payload | None], Payload | None]
"""From node, kind of request, request and recorded answer to what is sent; None: nothing."""


def _drafts() -> Any:
    file = Path(__file__).parents[2] / "shared" / "contract" / "conftest.py"
    spec = importlib.util.spec_from_file_location("contract_drafts", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


drafts = _drafts()


@dataclass
class Nodes:
    """A transport of three nodes."""

    recorded: dict[tuple[int, str, int], Payload]
    change: Change = lambda node, kind, request, answer: answer
    online: frozenset[int] = frozenset(NAMES)
    requests: list[tuple[int, Payload]] = field(default_factory=list)
    num_waits: int = 0
    _answers: list[tuple[int, Payload]] = field(default_factory=list)

    def nodes(self) -> frozenset[int]:
        return self.online

    def push(self, node: int, payload: Payload) -> None:
        self.requests.append((node, payload))
        kind = kind_of(payload)
        answer = self.change(node, kind, payload, self._usual(node, kind, payload))
        if answer is not None:
            self._answers.append((node, answer))

    def pull(self) -> list[tuple[int, Payload | None]]:
        answers, self._answers = self._answers, []
        return [*answers]

    def wait(self) -> None:
        import time

        self.num_waits += 1
        time.sleep(0.01)

    def of_kind(self, kind: str) -> list[tuple[int, Payload]]:
        return [(node, payload) for node, payload in self.requests if kind_of(payload) == kind]

    def _usual(self, node: int, kind: str, payload: Payload) -> Payload:
        if kind == "proposal":
            return ProposalAnswer(NAMES[node], "waiting").to_payload()
        if kind == "end":
            return EndAnswer(NAMES[node]).to_payload()
        work = WorkId.parse(payload.text("work", "work_id"))
        return self.recorded[node, work.phase, work.round]


@pytest.fixture
def make_nodes(finished_study: Any) -> Callable[..., Nodes]:
    recorded = {
        (m.node, m.phase, m.round): m.payload
        for m in finished_study.messages
        if m.direction == "up"
    }

    def make(change: Change | None = None, **changes: Any) -> Nodes:
        given = {} if change is None else {"change": change}
        return Nodes(recorded, **given, **changes)

    return make


@pytest.fixture(scope="session")
def draft(make_study: Callable[..., Any]) -> Callable[..., Any]:
    """`draft(study=None, **fields)`: a contract of the three hospitals."""

    def make(study: Any = None, **changes: Any) -> Any:
        sites = {"sites": tuple(NAMES.values())}
        return drafts.new_contract(make_study() if study is None else study, **(sites | changes))

    return make


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("pki")
    drafts.create_certificates(folder, "localhost")
    return drafts.Keys(folder)


@pytest.fixture
def register(tmp_path: Path) -> Path:
    """A folder `sites/` with the three hospitals' nodes."""
    folder = tmp_path / "sites"
    folder.mkdir()
    for node, name in NAMES.items():
        site = {"name": name, "node_id": str(node), "fingerprint": "f", "state": "unknown"}
        (folder / f"{name}.json").write_text(json.dumps(site))
    return folder


@pytest.fixture
def coordinator(tmp_path: Path) -> CoordinatorFolder:
    folder = create_coordinator(
        tmp_path / "coordinator", CoordinatorNetworkConfig(host="localhost")
    )
    for node, name in NAMES.items():
        site = {"name": name, "node_id": str(node), "fingerprint": "f", "state": "unknown"}
        (folder.sites / f"{name}.json").write_text(json.dumps(site))
    return folder
