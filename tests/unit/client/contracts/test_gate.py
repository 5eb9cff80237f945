"""The gate: what an approved contract lets in, and what it does not."""

from collections.abc import Callable
from typing import Any

from fedehr_client.contracts.gate import ContractGate
from fedehr_client.contracts.store import ContractStore
from fedehr_client.node.folder import NodeFolder


def test_a_whole_study_passes(
    gate: ContractGate,
    node: NodeFolder,
    asking: Callable[..., Any],
    approve: Callable[[Any], Any],
    bundle: str,
) -> None:
    asked = approve(asking())
    places = [("vocabulary", 1), ("pretraining", 1), ("pretraining", 2), ("finetuning", 1),
              ("finetuning", 2), ("evaluation", 1)]  # fmt: skip
    for phase, number in places:
        admitted = gate.admit(asked.request(phase, number), 7, bundle)
        assert (admitted.work_id.phase, admitted.work_id.round) == (phase, number)
        gate.answered(admitted)
    known = ContractStore(node).find(asked.contract.digest)
    assert known is not None
    assert known.num_rounds == known.num_rounds_answered == len(places)
