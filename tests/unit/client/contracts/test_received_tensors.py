"""Tensors that a request brings: of the study's names, shapes and types, and within bounds."""

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedehr_client.contracts.received_tensors import require_tensors
from fedehr_shared.errors import ContractError, WireError
from fedehr_shared.model.parameter_shapes import received_shapes
from fedehr_shared.wire.codec.record import decode, encode
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import WorkId

NUM_TOKENS = 28
Ask = Callable[..., Any]


def _check(asked: Any, request: Payload, phase: Any, number: int = 1, tokens: int = 28) -> None:
    work_id = WorkId(asked.contract.study.digest, phase, number, 1)
    require_tensors(request, asked.contract, work_id, tokens)


def _with(request: Payload, record: str, tensors: Any, dtype: Any = "fp16") -> Payload:
    encoded = tensors if isinstance(tensors, bytes) else encode(tensors, dtype)
    return replace(request, tensors={**request.tensors, record: encoded})


def test_as_the_study_has_them(asking: Ask) -> None:
    asked = asking()
    for phase, number in (("pretraining", 1), ("pretraining", 2), ("evaluation", 1)):
        _check(asked, asked.request(phase, number), phase, number)


@pytest.mark.parametrize(
    ("alter", "match"),
    [
        (lambda t: t | {"extra.weight": np.zeros(3, np.float32)}, "missing or unknown"),
        (lambda t: dict(list(t.items())[1:]), "missing or unknown"),
        (lambda t: {n.upper(): v for n, v in t.items()}, "missing or unknown"),
        (lambda t: {n: np.zeros((*v.shape, 1), np.float32) for n, v in t.items()}, "of shape"),
        (lambda t: {n: np.zeros((0, *v.shape[1:]), np.float32) for n, v in t.items()}, "of shape"),
        (lambda t: {n: v * 30_000 for n, v in t.items()}, "and the contract allows 10000"),
        (lambda t: {n: v * -30_000 for n, v in t.items()}, "and the contract allows 10000"),
    ],
)
def test_other_names_shapes_and_sizes(asking: Ask, alter: Any, match: str) -> None:
    asked = asking()
    request = asked.request("pretraining")
    altered = alter(decode(request.tensors["model"]))
    with pytest.raises(ContractError, match=match):
        _check(asked, _with(request, "model", altered), "pretraining")


def test_another_type_and_another_vocabulary(asking: Ask) -> None:
    asked = asking()
    request = asked.request("pretraining")
    model = decode(request.tensors["model"])
    with pytest.raises(ContractError, match="came as fp32"):
        _check(asked, _with(request, "model", model, "fp32"), "pretraining")
    with pytest.raises(ContractError, match="of shape"):
        _check(asked, request, "pretraining", tokens=29)


def test_records_that_a_phase_has_not(asking: Ask) -> None:
    asked, fresh = asking(), asking({"pretraining": {"optimizer_state": "fresh"}})
    request = asked.request("pretraining", 2)
    with pytest.raises(ContractError, match="'moments', which the study has not"):
        _check(fresh, request, "pretraining", 2)
    with pytest.raises(ContractError, match="'moments'"):
        _check(asked, replace(asked.request("evaluation"), tensors=request.tensors), "evaluation")
    for record in ("base", "fold"):
        with pytest.raises(ContractError, match=f"'{record}'"):
            _check(asked, _with(request, record, {}), "pretraining")
    with pytest.raises(ContractError, match="no weights"):
        _check(asked, replace(request, tensors={}), "pretraining")


def test_moments_of_what_the_model_has_not(asking: Ask) -> None:
    asked = asking()
    request = asked.request("pretraining", 2)
    moments = decode(request.tensors["moments"])
    some = dict(list(moments.items())[:4])
    _check(asked, _with(request, "moments", some), "pretraining", 2)
    with pytest.raises(ContractError, match="missing or unknown"):
        _check(asked, _with(request, "moments", some | {"x": some.popitem()[1]}), "pretraining", 2)


def test_damaged_bytes_are_no_contract_s_fault(asking: Ask) -> None:
    asked = asking()
    request = asked.request("pretraining")
    model = bytearray(request.tensors["model"])
    model[-1] ^= 1
    with pytest.raises(WireError, match="checksum") as raised:
        _check(asked, _with(request, "model", bytes(model)), "pretraining")
    assert raised.value.code == "wire"


def test_folds_of_a_study_that_restarts_its_adapters(asking: Ask) -> None:
    asked = asking({
        "finetuning": {"tuning": "lora"},
        "lora": {"rank": 2, "aggregation": "stacking", "target_modules": ["q"]},
    })  # fmt: skip
    request = asked.request("finetuning", 2, base=None)
    left, right = np.ones((16, 6), np.float32), np.ones((6, 16), np.float32)
    matrix = "encoder.blocks.0.q.fold_"
    _check(asked, _with(request, "fold", {f"{matrix}B": left, f"{matrix}A": right}), "finetuning")
    for fold, match in [
        ({f"{matrix}B": left}, "lacks a factor"),
        ({f"{matrix}B": left[:8], f"{matrix}A": right}, "does not fit"),
        ({"encoder.blocks.0.k.fold_B": left, "encoder.blocks.0.k.fold_A": right}, "no fold of"),
        # Three sites with adapters of rank 2 give 6 at most.
        (
            {
                f"{matrix}B": np.ones((16, 7), np.float32),
                f"{matrix}A": np.ones((7, 16), np.float32),
            },
            "rank 7",
        ),
        ({f"{matrix}B": 20_000 * left, f"{matrix}A": right}, "allows 10000"),
    ]:
        with pytest.raises(ContractError, match=match):
            _check(asked, _with(request, "fold", fold), "finetuning")


def test_a_model_of_100_megabytes_costs_little(
    asking: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    """In memory little more than one tensor beside the message."""
    asked = asking({"model": {"layers": 8, "hidden": 512, "heads": 8}})
    shapes = received_shapes(asked.contract.study, "pretraining", 1_000)
    generator = np.random.default_rng(0)
    model = {n: generator.random(s, np.float32) for n, s in shapes.items()}
    num_bytes = sum(tensor.nbytes for tensor in model.values())
    largest = max(tensor.nbytes for tensor in model.values())
    request = replace(asked.request("vocabulary"), tensors={"model": encode(model, "fp16")})
    del model
    began = time.perf_counter()
    _check(asked, request, "pretraining", tokens=1_000)
    seconds = time.perf_counter() - began
    tracemalloc.start()
    _check(asked, request, "pretraining", tokens=1_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    with capsys.disabled():
        print(
            f"\n{num_bytes / 1e6:.0f} MB of float32, {len(request.tensors['model']) / 1e6:.0f} MB "
            f"on the wire: {seconds:.2f} s, {peak / 1e6:.1f} MB beside the message"
        )
    assert peak < 4 * largest + 8e6 < num_bytes
