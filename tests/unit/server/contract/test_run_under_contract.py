"""A run under a contract: stamped requests, names held against the register, waits and the end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedehr_server.node_register import NodeRegister
from fedehr_server.rounds import waiting
from fedehr_server.rounds.agreement import Agreement
from fedehr_server.running import run_study
from fedehr_shared.contract.requests import contract_of
from fedehr_shared.errors import ContractError, FedehrError, NotApprovedError
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import ErrorReport
from fedehr_shared.wire.work import WorkId

Make = Callable[..., Any]


@pytest.fixture
def agreed(draft: Make, keys: Any, register: Path) -> Callable[..., Agreement]:
    def make(study: Any = None, **changes: Any) -> Agreement:
        contract = draft(study, max_tokens=10**6, **changes)
        return Agreement(contract, keys.sign(contract.to_json()), NodeRegister(register))

    return make


def _run(study: Any, nodes: Any, folder: Path, agreement: Agreement) -> dict[str, Any]:
    return run_study(study, nodes, folder / "run", 3, agreement=agreement)


def _events(folder: Path, *kinds: str) -> list[dict[str, Any]]:
    lines = (folder / "run" / "progress.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] in kinds]


def _renamed(answer: Payload | None, name: str) -> Payload:
    assert answer is not None
    report = {**answer.values["report"], "site": name}
    return Payload(answer.tensors, {**answer.values, "report": report})


def test_requests_name_the_contract_and_bring_it_in_first_rounds_and_again(
    make_study: Make, make_nodes: Make, agreed: Make, tmp_path: Path
) -> None:
    failed: list[WorkId] = []

    def fail_once(node: int, kind: str, request: Payload, answer: Payload | None) -> Any:
        if kind == "work" and node == 1 and not failed:
            work = WorkId.parse(request.text("work", "work_id"))
            if (work.phase, work.round) == ("pretraining", 2):
                failed.append(work)
                return ErrorReport("contract_missing", "r").to_payload()
        return answer

    agreement, nodes = agreed(), make_nodes(fail_once)
    result = _run(make_study(), nodes, tmp_path, agreement)
    assert (result["status"], result["contract"]) == ("completed", agreement.digest)
    assert (result["num_bound"], len(failed)) == (3, 1)
    for _, request in nodes.of_kind("work"):
        work = WorkId.parse(request.text("work", "work_id"))
        digest, signed = contract_of(request)
        assert digest == agreement.digest
        assert (signed == agreement.signed) == (work.round == 1 or work.attempt > 1)


def test_a_contract_changes_no_bit_of_the_result(
    make_study: Make, make_nodes: Make, agreed: Make, finished_study: Any, tmp_path: Path
) -> None:
    from fedehr_server.checkpoint import CheckpointFolder, load_weights

    _run(make_study(), make_nodes(), tmp_path, agreed())
    found = load_weights(CheckpointFolder(tmp_path / "run" / "checkpoints").latest("finetuning"))
    expected = finished_study.latest_weights
    assert {k: v.tobytes() for k, v in found.items()} == {
        k: v.tobytes() for k, v in expected.items()
    }


def test_each_node_is_told_of_the_end_with_the_model_s_digest(
    make_study: Make, make_nodes: Make, agreed: Make, tmp_path: Path
) -> None:
    agreement, nodes = agreed(), make_nodes()
    _run(make_study(), nodes, tmp_path, agreement)
    ends = nodes.of_kind("end")
    assert [node for node, _ in ends] == [0, 1, 2]
    assert {payload.text("end", "contract") for _, payload in ends} == {agreement.digest}
    (model,) = {payload.text("end", "model") for _, payload in ends}
    assert len(model) == 64
    (told,) = _events(tmp_path, "ended_at_sites")
    assert told["sites"] == ["hospital-1", "hospital-2", "hospital-3"]


def test_a_site_that_refused_is_named_and_hears_of_no_end(
    make_study: Make, make_nodes: Make, agreed: Make, tmp_path: Path
) -> None:
    def refuse(node: int, kind: str, request: Payload, answer: Payload | None) -> Any:
        return ErrorReport("policy", "r").to_payload() if (node, kind) == (1, "work") else answer

    nodes = make_nodes(refuse)
    with pytest.raises(FedehrError, match=r"Last said: hospital-2: policy\.$"):
        _run(make_study(federation={"min_sites": 3}), nodes, tmp_path, agreed())
    assert [node for node, _ in nodes.of_kind("end")] == [0, 2]


@pytest.mark.parametrize("how", ["silent", "odd", "broken"])
def test_the_end_never_fails_because_of_a_node(  # noqa: PLR0917 - fixtures
    make_study: Make,
    make_nodes: Make,
    agreed: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    monkeypatch.setattr("fedehr_server.rounds.farewell.tell_end.__defaults__", (0.2,))

    def lapse(node: int, kind: str, request: Payload, answer: Payload | None) -> Any:
        if kind != "end" or node != 1:
            return answer
        if how == "broken":
            raise OSError("the line is cut")
        return None if how == "silent" else Payload(values={"end": {"site": 1}})

    result = _run(make_study(), make_nodes(lapse), tmp_path, agreed())
    assert result["status"] == "completed"
    (told,) = _events(tmp_path, "ended_at_sites", "end_untold")
    assert told.get("sites") == (None if how == "broken" else ["hospital-1", "hospital-3"])


@pytest.mark.parametrize(
    ("name", "told"),
    [("hospital-1", "'hospital-2' calls itself 'hospital-1'"), ("nobody", "'nobody'")],
)
def test_a_node_that_speaks_for_another_site_is_refused_by_name(  # noqa: PLR0917 - fixtures
    make_study: Make, make_nodes: Make, agreed: Make, tmp_path: Path, name: str, told: str
) -> None:
    def pose(node: int, kind: str, request: Payload, answer: Payload | None) -> Any:
        # Later than the vocabulary, so that the recorded updates fit it.
        if kind == "work" and "/pretraining/" in request.text("work", "work_id") and node == 1:
            return _renamed(answer, name)
        return answer

    result = _run(make_study(), make_nodes(pose), tmp_path, agreed())
    assert "hospital-2" not in result["sites"]
    (event,) = _events(tmp_path, "site_error")
    assert (event["site"], event["code"]) == ("hospital-2", "contract")
    assert told in event["reason"]


def test_names_are_bound_without_a_contract_too(
    make_study: Make, make_nodes: Make, register: Path, tmp_path: Path
) -> None:
    def pose(node: int, kind: str, request: Payload, answer: Payload | None) -> Any:
        is_late = "/pretraining/" in request.text("work", "work_id")
        return _renamed(answer, "hospital-9") if is_late and node == 1 else answer

    nodes = make_nodes(pose)
    result = _run(make_study(), nodes, tmp_path, Agreement(register=NodeRegister(register)))
    assert result["sites"] == ["hospital-1", "hospital-3"]
    assert nodes.of_kind("end") == []
    assert all("contract" not in payload.values["work"] for _, payload in nodes.requests)


def test_a_node_that_the_contract_does_not_list_is_not_asked(
    make_study: Make, make_nodes: Make, agreed: Make, tmp_path: Path
) -> None:
    agreement = agreed(sites=("hospital-1", "hospital-3"))
    nodes = make_nodes()
    # The recorded updates are of a vocabulary of three, so that it ends early.
    with pytest.raises(FedehrError):
        run_study(make_study(), nodes, tmp_path / "run", 2, agreement=agreement)
    assert {node for node, _ in nodes.requests} == {0, 2}
    (event,) = _events(tmp_path, "not_in_contract")
    assert event["site"] == "hospital-2"


def test_a_site_that_joins_the_register_late_is_known(register: Path) -> None:
    names = NodeRegister(register)
    assert names.name_of(7) is None
    (register / "new.json").write_text('{"name": "new", "node_id": "7"}')
    (register / "half.json").write_text('{"name": "ha')
    assert names.name_of(7) == "new"
    assert NodeRegister(register / "nowhere").name_of(0) is None


def test_sites_are_waited_for_and_named_once(
    make_study: Make,
    make_nodes: Make,
    agreed: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(waiting, "MOST_SECONDS", 0.05)
    asked: list[str] = []

    def approve_late(node: int, kind: str, request: Payload, answer: Payload | None) -> Any:
        if kind == "work" and node == 1 and len(asked) < 12:
            asked.append(request.text("work", "work_id"))
            return ErrorReport("not_approved" if len(asked) < 9 else "busy", "r").to_payload()
        return answer

    result = _run(make_study(), make_nodes(approve_late), tmp_path, agreed())
    assert result["sites"] == ["hospital-1", "hospital-2", "hospital-3"]
    # The same attempt of the same work, however often.
    assert len(asked) == 12
    assert len(set(asked)) == 1
    events = _events(tmp_path, "site_waits", "site_error")
    assert [(event["site"], event["code"]) for event in events] == [
        ("hospital-2", "not_approved"), ("hospital-2", "busy"),
    ]  # fmt: skip


def test_nobody_approves_until_the_deadline(
    make_study: Make, make_nodes: Make, agreed: Make, tmp_path: Path
) -> None:
    def wait(node: int, kind: str, request: Payload, answer: Payload | None) -> Any:
        return ErrorReport("not_approved", "r").to_payload()

    study = make_study(federation={"round_deadline_seconds": 0.3})
    nodes = make_nodes(wait)
    with pytest.raises(NotApprovedError):
        _run(study, nodes, tmp_path, agreed(study))
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["exit_code"], result["num_bound"]) == (6, 0)
    # No site has begun: there is no end to tell of.
    assert nodes.of_kind("end") == []


def test_a_vocabulary_beyond_the_contract_ends_the_run_at_the_coordinator(  # noqa: PLR0917
    make_study: Make, make_nodes: Make, draft: Make, keys: Any, register: Path, tmp_path: Path
) -> None:
    contract = draft(max_tokens=20)
    agreement = Agreement(contract, keys.sign(contract.to_json()), NodeRegister(register))
    nodes = make_nodes()
    with pytest.raises(ContractError, match="--max-tokens"):
        _run(make_study(), nodes, tmp_path, agreement)
    phases = {WorkId.parse(r.text("work", "work_id")).phase for _, r in nodes.of_kind("work")}
    assert phases == {"vocabulary"}
    assert len(nodes.of_kind("end")) == 3


def test_an_unforeseen_failure_tells_no_end(
    make_study: Make, make_nodes: Make, agreed: Make, tmp_path: Path
) -> None:
    """What sites keep must be there for whoever goes on with the run."""

    def crash(node: int, kind: str, request: Payload, answer: Payload | None) -> Any:
        if WorkId.parse(request.text("work", "work_id")).phase == "finetuning":
            raise MemoryError
        return answer

    nodes = make_nodes(crash)
    with pytest.raises(MemoryError):
        _run(make_study(), nodes, tmp_path, agreed())
    assert nodes.of_kind("end") == []
    assert not issubclass(MemoryError, FedehrError)
