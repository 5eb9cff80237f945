"""One office, one study, and the requests that a coordinator would send in it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedehr_client.contracts.gate import ContractGate
from fedehr_client.contracts.store import ContractStore
from fedehr_client.node.folder import NodeFolder
from fedehr_shared.contract.requests import under_contract
from fedehr_shared.contract.signed_contract import SignedContract
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.model.parameter_shapes import base_shapes, received_shapes
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.moments import moment_shapes
from fedehr_shared.wire.payload import Arrays, Payload
from fedehr_shared.wire.work import Phase, Work, WorkId

VOCABULARY = Vocabulary(tuple(f"CODE//{number}" for number in range(20)), (None,) * 20, 4)


def arrays(shapes: dict[str, tuple[int, ...]], fill: float = 0.5) -> Arrays:
    """Tensors of these shapes, all of one number."""
    return {name: np.full(shape, fill, np.float32) for name, shape in shapes.items()}


@dataclass(frozen=True)
class Asking:
    """A coordinator that asks under one contract."""

    signed: SignedContract
    contract: StudyContract

    def work(
        self, phase: Phase, number: int = 1, attempt: int = 1, fill: float = 0.5, **changes: Any
    ) -> Work:
        """What a round asks, with some keys changed."""
        study = self.contract.study
        work = Work(WorkId(study.digest, phase, number, attempt), study)
        if phase == "vocabulary":
            return replace(work, **changes)
        tokens = VOCABULARY.num_tokens
        model = received_shapes(study, phase, tokens)
        training = study.pretraining if phase == "pretraining" else study.finetuning
        is_averaged = training.optimizer_state == "averaged" and phase != "evaluation"
        base = base_shapes(study, phase, tokens)
        work = replace(
            work,
            model=arrays(model, fill),
            moments=arrays(moment_shapes(model)) if is_averaged and number > 1 else None,
            base=arrays(base) if base else None,
            base_digest="d" * 64 if base else "",
            vocabulary_digest=VOCABULARY.digest,
            vocabulary_json=VOCABULARY.to_json(),
        )
        return replace(work, **changes)

    def request(
        self, phase: Phase, number: int = 1, attempt: int = 1, *, signed: bool = False,
        **changes: Any,
    ) -> Payload:  # fmt: skip
        """The request of a round, under the contract."""
        payload = self.work(phase, number, attempt, **changes).to_payload()
        return under_contract(payload, self.contract.digest, self.signed if signed else None)


@pytest.fixture(scope="session")
def office(contract_office: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An authority, with its signer."""
    return contract_office.ContractOffice.open(tmp_path_factory.mktemp("office") / "pki")


@pytest.fixture(scope="session")
def bundle(contract_office: Any) -> str:
    """The hash of the bundle that the contracts name."""
    return str(contract_office.BUNDLE)


@pytest.fixture(scope="session")
def asking(office: Any, make_study: Callable[..., Any]) -> Callable[..., Asking]:
    """`asking(study_changes, **contract_changes)`."""

    def ask(changes: dict[str, Any] | None = None, **of_contract: Any) -> Asking:
        signed = office.sign(make_study(**(changes or {})), **of_contract)
        return Asking(signed, StudyContract.from_json(signed.text))

    return ask


@pytest.fixture
def node(office: Any, tmp_path: Path) -> NodeFolder:
    """A hospital's node without any contract."""
    made: NodeFolder = office.node(tmp_path / "node")
    return made


@pytest.fixture
def gate(node: NodeFolder) -> ContractGate:
    """Its gate; nothing has left yet."""
    return ContractGate(node, bytes_since=lambda time: 0)


@pytest.fixture
def approve(node: NodeFolder) -> Callable[[Asking], Asking]:
    """Receive and approve a contract."""

    def do(asking: Asking) -> Asking:
        store = ContractStore(node)
        store.receive(asking.signed)
        store.approve(asking.contract.digest, "ada")
        return asking

    return do


@pytest.fixture
def approved(asking: Callable[..., Asking], approve: Callable[[Asking], Asking]) -> Asking:
    """The small study, approved."""
    return approve(asking())
