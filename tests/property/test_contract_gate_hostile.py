"""Messages changed at random: the gate says no in words of its own, and writes it down."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client.contracts.gate import ContractGate
from fedehr_client.contracts.store import ContractStore
from fedehr_shared.contract.requests import under_contract
from fedehr_shared.errors import FedehrError
from fedehr_shared.model.parameter_shapes import received_shapes
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import Work, WorkId

VOCABULARY = Vocabulary(("A", "B"), (None, (3, 9)), 2)
NUM_BYTES = 64
Values = st.one_of(
    st.text(max_size=30),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.lists(st.integers(-5, 5), max_size=3),
    st.lists(st.text(max_size=5), max_size=3),
    st.sampled_from(["[" * 20_000, '{"format": 2, "grid_edges": 256, "num_hash_buckets": 0, '
                     '"codes": [["a", [Infinity]]]}', "\ud800", "a" * 64]),
)  # fmt: skip
RECORDS = ("work", "tasks", "contract", "proposal", "end", "model")
KEYS = (
    "work_id", "study", "vocabulary_digest", "vocabulary", "base_digest", "fold_from", "contract",
    "text", "signature", "certificate", "weights",
)  # fmt: skip


@pytest.fixture(scope="module")
def asked(
    contract_office: Any, make_study: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Any, Payload, str]:
    """A node in the middle of a run, its gate, and the request that is due."""
    folder = tmp_path_factory.mktemp("hostile")
    office = contract_office.ContractOffice.open(folder / "pki")
    node = office.node(folder / "node")
    study = make_study()
    signed = office.sign(study)
    digest = ContractStore(node).receive(signed).digest
    ContractStore(node).approve(digest, "ada")
    gate = ContractGate(node, bytes_since=lambda time: 0)
    first = Work(WorkId(study.digest, "vocabulary", 1, 1), study).to_payload()
    gate.admit(under_contract(first, digest, None), 4, contract_office.BUNDLE)
    shapes = received_shapes(study, "pretraining", VOCABULARY.num_tokens)
    work = Work(
        WorkId(study.digest, "pretraining", 1, 1),
        study,
        model={name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()},
        vocabulary_digest=VOCABULARY.digest,
        vocabulary_json=VOCABULARY.to_json(),
    )
    request = under_contract(work.to_payload(), digest, signed)
    return node, gate, request, contract_office.BUNDLE


@st.composite
def changes(draw: st.DrawFn) -> Callable[[Payload], Payload]:
    """One thing of a message: a value, a record, or a byte of a tensor."""
    kind = draw(st.sampled_from(["value", "no_value", "no_record", "byte", "cut", "record"]))
    record, key = draw(st.sampled_from(RECORDS)), draw(st.sampled_from(KEYS))
    value, place = draw(Values), draw(st.floats(0, 1, exclude_max=True))

    def change(payload: Payload) -> Payload:
        values = {name: dict(own) for name, own in payload.values.items()}
        tensors = dict(payload.tensors)
        if kind == "value":
            values.setdefault(record, {})[key] = value
        elif kind == "no_value":
            values.get(record, {}).pop(key, None)
        elif kind == "no_record":
            values.pop(record, None)
            tensors.pop(record, None)
        elif kind == "record":
            tensors[record] = str(value).encode(errors="replace")
        elif tensors.get("model"):
            model, at = tensors["model"], int(place * len(tensors["model"]))
            flipped = model[:at] + bytes([model[at] ^ 0x55]) + model[at + 1 :]
            tensors["model"] = flipped if kind == "byte" else model[:at]
        return replace(payload, values=values, tensors=tensors)

    return change


@given(st.lists(changes(), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_what_was_changed_is_refused_in_words(
    asked: tuple[Any, Any, Payload, str], altered: list[Callable[[Payload], Payload]]
) -> None:
    node, gate, request, bundle = asked
    message = request
    for change in altered:
        message = change(message)
    known = ContractStore(node).all()
    num_lines = len(node.audit_file.read_bytes().splitlines())
    refused = _refusal(gate, message, bundle)
    if refused is None:
        # Nothing that counts was changed: only what is sent along at will.
        assert _content(message) == _content(request)
        return
    assert str(refused)
    assert ContractStore(node).all() == known
    lines = node.audit_file.read_bytes().splitlines()
    # The very same refusal is written once an hour.
    assert len(lines) - num_lines in {0, 1}
    assert refused.code in {json.loads(line).get("code") for line in lines}


def _refusal(gate: ContractGate, message: Payload, bundle: str) -> FedehrError | None:
    """None where it was admitted; any other exception is a fault of ours."""
    try:
        gate.admit(message, 4, bundle)
    except FedehrError as error:
        return error
    return None


def _content(message: Payload) -> Any:
    work = {key: value for key, value in message.values["work"].items() if key != "vocabulary"}
    return work, message.tensors
