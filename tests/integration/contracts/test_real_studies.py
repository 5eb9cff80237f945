"""What a real coordinator asks passes the gate, and what leaves is what `show` says leaves."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.contracts.gate import ContractGate
from fedehr_client.contracts.leaving import leaving
from fedehr_client.contracts.store import ContractStore
from fedehr_shared.contract.requests import under_contract
from fedehr_shared.contract.study_terms import rounds_of
from fedehr_shared.errors import ContractError
from fedehr_shared.model.parameter_shapes import parameter_shapes
from fedehr_shared.wire.codec.record import decode

KINDS: dict[str, dict[str, Any]] = {
    "stacked_adapters": {
        "finetuning": {"tuning": "lora", "rounds": 3},
        "lora": {"rank": 2, "aggregation": "stacking"},
        "loss": {"class_weights": "balanced", "task_weights": "dynamic"},
    },
    "local_heads": {
        "pretraining": {"optimizer_state": "kept", "rounds": 1},
        "finetuning": {"local_parts": ["heads"], "optimizer_state": "fresh"},
        "exchange": {"dtype": "int8"},
        "evaluation": {"calibration": "platt"},
    },
}


@pytest.fixture(scope="module", params=["plain", *KINDS])
def run(
    request: pytest.FixtureRequest,
    make_study: Callable[..., Any],
    hospitals: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Any, Any]:
    """A study, and what travelled in it."""
    if request.param == "plain":
        return make_study(), request.getfixturevalue("finished_study")
    study = make_study(**KINDS[request.param])
    run_study = request.getfixturevalue("run_study_in_process")
    return study, run_study(study, hospitals.sites, tmp_path_factory.mktemp(request.param))


def test_every_request_is_admitted_at_every_site(
    run: tuple[Any, Any], contract_office: Any, tmp_path: Path
) -> None:
    study, travelled = run
    office = contract_office.ContractOffice.open(tmp_path / "pki")
    signed = office.sign(study)
    asked = [sent for sent in travelled.messages if sent.direction == "down"]
    for index in sorted({sent.node for sent in asked}):
        node = office.node(tmp_path / f"node{index}")
        digest = ContractStore(node).receive(signed).digest
        ContractStore(node).approve(digest, "ada")
        gate = ContractGate(node, bytes_since=lambda time: 0)
        own = [sent for sent in asked if sent.node == index]
        for sent in own:
            request = under_contract(sent.payload, digest, None)
            admitted = gate.admit(request, 5, contract_office.BUNDLE)
            assert (admitted.work_id.phase, admitted.work_id.round) == (sent.phase, sent.round)
            gate.answered(admitted)
        with pytest.raises(ContractError, match="does not go back"):
            gate.admit(under_contract(own[0].payload, digest, None), 5, contract_office.BUNDLE)
        known = ContractStore(node).find(digest)
        assert known is not None
        assert known.num_rounds_answered == len({(s.phase, s.round) for s in own})


def test_all_that_leaves_is_told_and_little_else(run: tuple[Any, Any]) -> None:
    study, travelled = run
    told = {phase: leaving(study, phase) for phase in _phases(study)}
    seen: dict[str, set[str]] = {phase: set() for phase in told}
    for sent in travelled.messages:
        if sent.direction == "up" and "error" not in sent.payload.values:
            seen[sent.phase] |= set(_places(sent.payload))
    for phase, places in seen.items():
        patterns = [_pattern(place) for one in told[phase] for place in one.places]
        patterns += [f"{re.escape(one.record)}" for one in told[phase] if "<" in one.keys[0]]
        for place in places:
            assert any(re.fullmatch(pattern, place) for pattern in patterns), place
        for one in told[phase]:
            # What rests on few subjects of these small hospitals may be withheld.
            if "<" in one.keys[0] and one.keys[0] != "<parameter>":
                continue
            own = [_pattern(place) for place in one.places] + [re.escape(one.record)]
            assert any(re.fullmatch(p, place) for p in own for place in places), one.what


def _phases(study: Any) -> list[Any]:
    return list(rounds_of(study))


def _places(payload: Any) -> list[str]:
    values = [f"{record}.{key}" for record, own in payload.values.items() for key in own]
    return values + list(payload.tensors)


def _pattern(place: str) -> str:
    parts = re.split(r"<[a-z]+>", place)
    return "[A-Za-z0-9_. +-]+".join(map(re.escape, parts))


def test_an_altered_request_of_a_real_study_is_refused(
    finished_study: Any, make_study: Callable[..., Any], contract_office: Any, tmp_path: Path
) -> None:
    office = contract_office.ContractOffice.open(tmp_path / "pki")
    node = office.node(tmp_path / "node")
    digest = ContractStore(node).receive(office.sign(make_study())).digest
    ContractStore(node).approve(digest, "ada")
    gate = ContractGate(node, bytes_since=lambda time: 0)
    asked = [s.payload for s in finished_study.messages if s.direction == "down" and s.node == 0]
    for payload in asked[:2]:
        gate.admit(under_contract(payload, digest, None), 5, contract_office.BUNDLE)
    model = asked[2].tensors["model"]
    swapped = replace(asked[1], tensors={**asked[1].tensors, "model": model})
    with pytest.raises(ContractError, match="another content"):
        gate.admit(under_contract(swapped, digest, None), 5, contract_office.BUNDLE)


def test_the_base_of_a_real_study_has_these_shapes(run: tuple[Any, Any]) -> None:
    """What a site keeps for itself begins with what the coordinator drew: it is sent too."""
    study, travelled = run
    asked = [s for s in travelled.messages if s.direction == "down" and "base" in s.payload.tensors]
    for sent in asked:
        base = decode(sent.payload.tensors["base"])
        model = decode(sent.payload.tensors["model"])
        both = base | model
        num_tokens = both["encoder.token_embedding.weight"].shape[0]
        whole = parameter_shapes(study, sent.phase, num_tokens)
        assert {name: tensor.shape for name, tensor in both.items()} == whole
        assert not base.keys() & model.keys()
