"""What a contract's requests may take is never less than what they do take."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects

from fedehr_client.contracts.request_bytes import FRAMING_BYTES, request_bytes
from fedehr_client.records import to_records
from fedehr_shared.model.lora.fold import fold_a, fold_b
from fedehr_shared.model.parameter_shapes import base_shapes
from fedehr_shared.wire.payload import Payload

NUM_TOKENS = 24
"""Of `conftest.VOCABULARY`."""
LORA = {"finetuning": {"rounds": 3, "tasks": ["mortality"], "tuning": "lora"}}


def arrays(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    return {name: np.ones(shape, np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("state_dtype", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pretraining": {"optimizer_state": "averaged", "rounds": 2}},
        {**LORA, "lora": {"rank": 2}},
    ],
    ids=["all", "moments", "lora"],
)
def test_no_honest_request_is_larger(
    asking: Callable[..., Any], changes: dict[str, Any], state_dtype: str
) -> None:
    exchange = {"dtype": state_dtype, "compress": False}
    asked = asking({**changes, "exchange": exchange}, max_tokens=NUM_TOKENS)
    most = request_bytes(asked.contract)
    largest = 0
    for phase, num_rounds in asked.contract.rounds.items():
        for number in range(1, num_rounds + 1):
            request = asked.request(phase, number)
            largest = max(largest, _as_the_engine_cuts(Payload(request.tensors)))
    assert largest <= most
    assert most < 3 * (largest + FRAMING_BYTES), "a bound that says something"


def test_it_grows_with_the_vocabulary_that_the_contract_allows(asking: Callable[..., Any]) -> None:
    small, large = (asking(max_tokens=number).contract for number in (100, 1_000))
    width = small.study.model.hidden
    assert request_bytes(large) - request_bytes(small) >= 900 * width


def test_a_fold_of_full_rank_fits(asking: Callable[..., Any]) -> None:
    changes = {**LORA, "lora": {"rank": 2, "aggregation": "reprojection"}}
    asked = asking({**changes, "exchange": {"compress": False}}, max_tokens=NUM_TOKENS)
    study = asked.contract.study
    fold: dict[str, Any] = {}
    for name, shape in base_shapes(study, "finetuning", NUM_TOKENS).items():
        if name.startswith("encoder.blocks.") and len(shape) == 2:
            matrix, rank = name.removesuffix(".weight"), min(shape)
            fold |= arrays({fold_a(matrix): (rank, shape[1]), fold_b(matrix): (shape[0], rank)})
    assert study.lora.restarts
    assert fold
    request = asked.request("finetuning", 2, fold=fold, fold_from="e" * 64)
    assert "base" in request.tensors
    assert _as_the_engine_cuts(Payload(request.tensors)) <= request_bytes(asked.contract)


def _as_the_engine_cuts(payload: Payload) -> int:
    objects = get_all_nested_objects(to_records(payload)).values()
    return sum(len(each.deflate()) for each in objects)
