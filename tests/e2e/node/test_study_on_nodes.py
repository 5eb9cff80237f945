"""One study over TLS through hospitals' nodes: a bundle that carries code, a worker killed in the
middle, and an approval taken back."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.debian]


@pytest.fixture(scope="module")
def field(make_network: Callable[..., Any], node_apps: Any, hospitals: Any) -> Any:
    network = make_network()
    for site in hospitals.sites[:2]:
        network.join(
            site.name, site.path, ceilings={"min_cell": 5}, compute=node_apps.field.ONE_THREAD
        )
    return node_apps.field.Field(network)


@pytest.fixture(scope="module")
def hostile(field: Any, node_apps: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A bundle that carries code under fedehr's own names, and where that would write."""
    folder = tmp_path_factory.mktemp("hostile")
    bundle = node_apps.hostile_bundle
    made = bundle.make_bundle(folder / "bundle", folder / "ran", "whole package", bundle.SERVER_APP)
    return made, folder / "ran"


@pytest.fixture(scope="module")
def finished(field: Any, study: Any, hostile: Any, node_apps: Any) -> Any:
    """The study, run once: its bundle carries code, and a worker is killed in the middle."""
    bundle, _ = hostile
    contract, file = field.contract(study, bundle)
    field.approve(file)
    run = field.start(study, contract, "disturbed", bundle)
    run.wait_for_rounds(1)
    node = node_apps.node_processes.NodeProcesses(field.network.nodes["hospital-1"])
    killed = node.kill("worker")
    result = run.finish()
    assert node.one("worker").pid != killed
    return run, result, contract


def test_it_ends_with_the_weights_of_an_undisturbed_run(
    finished: Any, undisturbed: dict[str, str]
) -> None:
    run, result, _ = finished
    assert (result["status"], result["missing"]) == ("completed", [])
    assert run.digests() == undisturbed


def test_nothing_of_the_bundle_ran(finished: Any, hostile: Any, field: Any) -> None:
    bundle, trace = hostile
    assert (bundle / "fedehr_client" / "worker" / "__init__.py").exists()
    # The coordinator's own commands look into the bundle; no other process has run any of it.
    lines = trace.read_text().splitlines()
    assert all("/flwr build " in line or "/flwr run " in line for line in lines), lines
    for node in field.network.nodes.values():
        assert not [file for file in node.rglob("*") if file.suffix in {".py", ".fab"}]


def test_no_process_but_the_child_holds_torch(finished: Any, field: Any, node_apps: Any) -> None:
    for folder in field.network.nodes.values():
        node = node_apps.node_processes.NodeProcesses(folder)
        for role in ("supervisor", "supernode", "worker"):
            assert not node.loaded(role, "libtorch"), role


def test_every_round_is_in_the_audit_once_and_has_its_receipt(finished: Any, field: Any) -> None:
    _, _, contract = finished
    rounds = [(phase, n + 1) for phase, number in contract.rounds.items() for n in range(number)]
    for name, node in field.network.nodes.items():
        lines = [line for line in field.audit(name) if line["event"] == "round_answered"]
        assert {(line["phase"], line["round"]) for line in lines} == set(rounds)
        field.network.must("fedehr-client", "audit", "verify", node)
        receipts = {file.stem for file in (node / "outbox" / "receipts").glob("*.json")}
        assert {line["receipt"] for line in lines} <= receipts


def test_nothing_of_a_finished_run_is_kept(finished: Any, field: Any) -> None:
    for node in field.network.nodes.values():
        assert [file for file in (node / "outbox" / "kept").rglob("*") if file.is_file()] == []


def test_a_second_run_on_the_same_approval_is_refused(
    finished: Any, field: Any, study: Any, hostile: Any
) -> None:
    _, _, contract = finished
    result = field.start(study, contract, "again", hostile[0]).finish()
    assert (result["status"], result["code"], result["exit_code"]) == ("failed", "contract", 6)
    for name in field.network.nodes:
        refused = [line for line in field.audit(name) if line["event"] == "request_refused"]
        assert {"work"} <= {line["kind"] for line in refused if line["code"] == "contract"}


def test_code_under_the_approval_of_a_bundle_without_is_refused(
    finished: Any, field: Any, study: Any, hostile: Any
) -> None:
    contract, file = field.contract(study)
    field.approve(file)
    result = field.start(study, contract, "smuggled", hostile[0]).finish()
    assert (result["status"], result["code"], result["exit_code"]) == ("failed", "contract", 6)


def test_a_revoked_study_answers_no_more(finished: Any, field: Any, study: Any) -> None:
    contract, file = field.contract(study, days=29)
    field.approve(file)
    victim = field.network.nodes["hospital-2"]
    field.network.must("fedehr-client", "revoke", victim, contract.digest[:12], "--yes")
    result = field.start(study, contract, "revoked").finish()
    assert (result["status"], result["code"], result["exit_code"]) == ("failed", "policy", 6)
    answered = [line for line in field.audit("hospital-2") if line["event"] == "round_answered"]
    assert contract.digest not in {line["contract"] for line in answered}
