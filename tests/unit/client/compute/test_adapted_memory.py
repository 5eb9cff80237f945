"""What fine-tuning keeps for its backward pass, counted in autograd itself, beside the estimate."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.memory import estimate_memory
from fedehr_client.training.worst_pieces import worst_pieces
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.tuning.plan import TuningPlan

VOCABULARY, NUM_TOKENS = 512, 1_024
CPU = Compute(torch.device("cpu"))
ALL = ["q", "k", "v", "o", "gate", "up", "down"]


def _study(tuning: str, state: str = "fresh", **lora: Any) -> StudyConfig:
    return StudyConfig.model_validate({
        "name": "m", "model": {"layers": 4, "hidden": 128, "heads": 2}, "lora": lora,
        "finetuning": {
            "tasks": ["a"], "tuning": tuning, "wide": False, "rounds": 4, "optimizer_state": state,
        },
    })  # fmt: skip


def _kept_bytes(study: StudyConfig, lower: AbstractContextManager[Any]) -> float:
    """A token, counted as autograd saves it."""
    model, plan = FinetuningModel(study, VOCABULARY), TuningPlan.of(study)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(plan.rate_factor(name, study.finetuning.rounds) > 0)
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    seen: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    piece: Any = worst_pieces(study, "finetuning", VOCABULARY, NUM_TOKENS)[0]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), lower:
        loss = model(piece.batch).sum()
    assert loss.requires_grad
    return sum(seen.values()) / int(piece.batch.boundaries[-1])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "lora",
    [
        None, {}, {"target_modules": ALL}, {"target_modules": ["q"]}, {"rank": 64},
        {"target_modules": ["gate", "up"]}, {"layer_ranks": [0, 0, 8, 8]},
        {"variant": "vera"},
    ],
)  # fmt: skip
def test_activations_are_near_what_autograd_keeps(lora: Any, precision: Any) -> None:
    torch.set_num_threads(1)
    study = _study("full") if lora is None else _study("lora", **lora)
    low = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()
    measured = _kept_bytes(study, low)
    compute = replace(CPU, precision=precision)
    estimated = estimate_memory(study, "finetuning", VOCABULARY, compute).activations
    # Never far below it: a budget that is too large ends in an error.
    assert 0.93 < estimated / measured < 1.25


def test_what_is_frozen_has_no_gradients_or_moments() -> None:
    plain = estimate_memory(_study("full"), "finetuning", VOCABULARY, CPU)
    for state, num_kept in (("fresh", 1.0), ("kept", 2.0)):
        turns = _study("lora", state, aggregation="alternating", target_modules=["q"])
        found = estimate_memory(turns, "finetuning", VOCABULARY, CPU)
        model = FinetuningModel(turns, VOCABULARY)
        sizes = {name: p.numel() * 4 for name, p in model.named_parameters()}
        factor = sum(size for name, size in sizes.items() if ".lora_A." in name)
        heads = sum(size for name, size in sizes.items() if name.startswith("heads."))
        # A and B are alike in size, and one of them learns at a time.
        assert found.gradients == factor + heads
        assert found.moments == 2 * (num_kept * factor + heads)
        assert found.gradients < plain.gradients / 50
        assert found.received == sum(sizes.values())
    averaged = estimate_memory(_study("lora", "averaged"), "finetuning", VOCABULARY, CPU)
    fresh = estimate_memory(_study("lora"), "finetuning", VOCABULARY, CPU)
    assert averaged.received - fresh.received == fresh.moments
    gradual = estimate_memory(_study("gradual"), "finetuning", VOCABULARY, CPU)
    assert gradual.gradients == plain.gradients
