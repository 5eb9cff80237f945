"""FedProx against the loss that it stands for."""

import copy

import pytest
import torch
from torch import nn

from fedehr_client.training.proximal import ProximalTerm


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def _loss(model: nn.Module, step: int) -> torch.Tensor:
    inputs = torch.randn(20, 6, generator=torch.Generator().manual_seed(step))
    loss: torch.Tensor = model(inputs).square().mean()
    return loss


@pytest.mark.parametrize("weight", [0.1, 3.0])
def test_its_gradients_are_those_of_the_term_in_the_loss(weight: float) -> None:
    ours, theirs = _model(), _model()
    starts = copy.deepcopy(theirs)
    term = ProximalTerm(ours.parameters(), weight)
    rules = [torch.optim.SGD(m.parameters(), lr=0.3) for m in (ours, theirs)]
    for step in range(10):
        for rule in rules:
            rule.zero_grad()
        torch.autograd.backward(_loss(ours, step))
        term.add_gradients()
        distance = torch.stack(
            [
                (p - s.detach()).square().sum()
                for p, s in zip(theirs.parameters(), starts.parameters(), strict=True)
            ]
        ).sum()
        torch.autograd.backward(_loss(theirs, step) + weight / 2 * distance)
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert p.grad is not None
            assert q.grad is not None
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-5, atol=1e-6)
        for rule in rules:
            rule.step()
    assert any(
        not torch.equal(p, s) for p, s in zip(ours.parameters(), starts.parameters(), strict=True)
    )


def test_a_heavy_weight_holds_the_site_near_its_start() -> None:
    def moved(weight: float) -> float:
        model = _model()
        start = [p.detach().clone() for p in model.parameters()]
        term = ProximalTerm(model.parameters(), weight)
        rule = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(50):
            rule.zero_grad()
            torch.autograd.backward(_loss(model, step))
            term.add_gradients()
            rule.step()
        return sum(
            float((p.detach() - s).square().sum())
            for p, s in zip(model.parameters(), start, strict=True)
        )

    assert moved(5.0) < moved(0.5) / 4 < moved(0.0) / 4


def test_what_is_frozen_is_left_alone() -> None:
    model = _model()
    frozen = next(model.parameters())
    frozen.requires_grad_(False)
    term = ProximalTerm(model.parameters(), 1.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    term.add_gradients()
    assert frozen.grad is None
    others = [p for p in model.parameters() if p is not frozen]
    # A parameter that the loss did not reach is pulled back all the same.
    assert all(p.grad is not None and torch.all(p.grad == 1.0) for p in others)
