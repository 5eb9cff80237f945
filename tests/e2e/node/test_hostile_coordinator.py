"""A coordinator that means harm, over a real SuperLink: some hundred messages of every kind.

The node answers each by a listed answer or a code; none of its processes ends; afterwards an
honest study runs to its end.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedehr_shared.errors import ERROR_CODES

pytestmark = [pytest.mark.e2e, pytest.mark.debian, pytest.mark.long]

NUM_MESSAGES = 300
_REFERENCE = re.compile(r"[0-9a-f]{16}")


@pytest.fixture(scope="module")
def field(make_network: Callable[..., Any], node_apps: Any, hospitals: Any) -> Any:
    network = make_network()
    for site in hospitals.sites[:2]:
        settings = {"ceilings": {"min_cell": 5}, "compute": node_apps.field.ONE_THREAD}
        network.join(site.name, site.path, **settings)
    return node_apps.field.Field(network)


@pytest.fixture(scope="module")
def study(make_study: Callable[..., Any], node_apps: Any) -> Any:
    return make_study(**node_apps.field.SECTIONS)


def _corpus(finished_study: Any, signed: Any, digest: str, node_apps: Any) -> list[Any]:
    from fedehr_shared.contract.requests import End, Proposal, under_contract

    form_of = node_apps.hostile_messages.form_of
    requests = [m.payload for m in finished_study.messages if (m.node, m.direction) == (0, "down")]
    found = [form_of(under_contract(request, digest, signed)) for request in requests]
    found += [form_of(under_contract(request, digest, None)) for request in requests]
    found += [form_of(request) for request in requests]
    found += [form_of(Proposal(signed).to_payload()), form_of(End(digest).to_payload())]
    return found


def test_no_message_harms_a_node(
    field: Any, finished_study: Any, node_apps: Any, run_bundle: Any, tmp_path: Path
) -> None:
    from fedehr_shared.config.study import StudyConfig
    from fedehr_shared.contract.signed_contract import SignedContract

    trace = tmp_path / "ran"
    bundle = node_apps.hostile_bundle.make_bundle(tmp_path / "bundle", trace, "whole package")
    asked = [m for m in finished_study.messages if m.direction == "down"]
    sent = StudyConfig.from_json(asked[0].payload.text("work", "study"))
    contract, file = field.contract(sent, bundle)
    field.approve(file)
    corpus = _corpus(finished_study, SignedContract.load(file), contract.digest, node_apps)
    drawn = node_apps.hostile_messages.HostileMessages(11, corpus, str(trace))
    forms = [node_apps.hostile_messages.jsonable(drawn.draw()) for _ in range(NUM_MESSAGES)]
    before = _pids(field, node_apps)
    answers = run_bundle(
        field.network, bundle, "hostile", num_sites=2, messages=forms, timeout_seconds=1_600.0
    )
    kinds = Counter(_kind(answer) for answer in answers)
    print(f"{len(answers)} answers: {dict(kinds.most_common())}")
    assert len(answers) > NUM_MESSAGES
    assert kinds.keys() >= {"wire", "contract", "proposal"}
    assert not kinds.keys() & {"silent", "failed", "engine"}
    assert _pids(field, node_apps) == before
    # Code of the bundle may run where it came from: by the coordinator's own commands.
    lines = trace.read_text().splitlines() if trace.exists() else []
    assert all("/flwr build " in line or "/flwr run " in line for line in lines), lines


def _kind(answer: dict[str, Any]) -> str:
    if answer.get("silent"):
        return "silent"
    if "engine_error" in answer:
        return "engine"
    values, tensors = answer["values"], answer["tensors"]
    if "error" in values:
        assert (values.keys(), tensors) == ({"error"}, {})
        assert values["error"].keys() == {"code", "reference"}
        assert values["error"]["code"] in ERROR_CODES
        assert _REFERENCE.fullmatch(values["error"]["reference"])
        return str(values["error"]["code"])
    for kind, keys in {"proposal": {"site", "state"}, "end": {"site"}}.items():
        if kind in values:
            assert (values.keys(), tensors, values[kind].keys()) == ({kind}, {}, keys)
            return kind
    assert "report" in values
    return "report"


def _pids(field: Any, node_apps: Any) -> dict[str, list[int]]:
    found = {}
    for name, folder in field.network.nodes.items():
        node = node_apps.node_processes.NodeProcesses(folder)
        roles = ("supervisor", "supernode", "worker")
        found[name] = [node.one(role).pid for role in roles]
    return found


def test_an_honest_study_still_runs(field: Any, study: Any) -> None:
    contract, file = field.contract(study)
    field.approve(file)
    result = field.start(study, contract, "honest").finish()
    assert (result["status"], result["missing"]) == ("completed", [])
    for node in field.network.nodes.values():
        verified = field.network.must("fedehr-client", "audit", "verify", node, "--json")
        assert json.loads(verified)
