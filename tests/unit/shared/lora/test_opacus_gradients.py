"""Gradients of each subject by Opacus's hooks: those of one subject after the other.

Differential privacy clips each subject's own gradient, so a wrong one voids its promise, and
nothing would say so. The stream is flat, so that Opacus tells the gradients of each token of the
encoder's layers, and those of each subject of the heads.
"""

from typing import Any

import pytest
import torch
from lora_models import KINDS, make_batch, make_model, make_study
from opacus.grad_sample import GradSampleModule
from torch import nn

from fedehr_shared.model.lora.lora_linear import LoraLinear
from fedehr_shared.model.lora.vera_linear import VeraLinear
from fedehr_shared.model.lora.vera_projections import VeraProjections
from fedehr_shared.model.tuning.plan import TuningPlan

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
LENGTHS = (4, 1, 7, 3)


def _frozen(model: nn.Module, study: Any) -> nn.Module:
    plan = TuningPlan.of(study)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(plan.rate_factor(name, 1) > 0)
    return model


def _one_by_one(model: nn.Module) -> dict[str, torch.Tensor]:
    """The gradients of each subject's loss, by plain autograd. `[subjects, ...]`."""
    batch, rows = make_batch(LENGTHS), []
    for subject in range(len(LENGTHS)):
        model.zero_grad(set_to_none=True)
        model(batch.cut(range(subject, subject + 1))).square().sum().backward()
        rows.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


@pytest.mark.parametrize(
    ("kind", "aggregation"),
    [("lora", "average"), ("lora", "frozen_a"), ("by_layer", "average"), ("vera", "average")],
)
def test_each_subjects_gradient_is_its_own(kind: str, aggregation: str) -> None:
    study = make_study({**KINDS[kind], "aggregation": aggregation})
    model = _frozen(make_model(study), study)
    expected = _one_by_one(model)
    assert any(".lora_B." in n or ".vera_b." in n for n in expected)
    assert any(".lora_A." in n for n in expected) == (kind != "vera" and aggregation == "average")
    model.zero_grad(set_to_none=True)
    # Its hooks see a model in training alone.
    wrapped = GradSampleModule(model.train(), loss_reduction="sum")
    wrapped(make_batch(LENGTHS)).square().sum().backward()
    owner = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    trained: Any = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    found = {name: parameter.grad_sample for name, parameter in trained}
    assert found.keys() == expected.keys()
    for name, rows in found.items():
        each = rows
        if name.startswith("encoder."):
            each = torch.zeros_like(expected[name]).index_add(0, owner, rows)
        error = float((each - expected[name]).norm() / expected[name].norm())
        assert error < 1e-5, name
    wrapped.remove_hooks()


@pytest.mark.parametrize("variant", ["lora", "vera"])
def test_a_padded_batch_has_one_gradient_a_subject(variant: str) -> None:
    """As under differential privacy: `[subjects, tokens, features]`, one row a subject."""
    torch.manual_seed(0)
    linear = nn.Linear(6, 5, bias=False)
    layer: nn.Module
    if variant == "lora":
        layer = LoraLinear(linear, 2, 3.0)
    else:
        layer = VeraLinear(linear, 2, VeraProjections(6, 5, 2, 0))
    for name, parameter in layer.named_parameters():
        nn.init.normal_(parameter)
        parameter.requires_grad_(name != "weight")
    inputs = torch.randn(3, 7, 6)
    expected: list[list[torch.Tensor]] = []
    trained: Any = [p for p in layer.parameters() if p.requires_grad]
    for one in inputs:
        loss = layer(one).square().sum()
        expected.append(list(torch.autograd.grad(loss, trained)))
    wrapped = GradSampleModule(layer, loss_reduction="sum")
    wrapped(inputs).square().sum().backward()
    for place, parameter in enumerate(trained):
        alone = torch.stack([row[place] for row in expected])
        torch.testing.assert_close(parameter.grad_sample, alone, atol=1e-4, rtol=1e-4)
