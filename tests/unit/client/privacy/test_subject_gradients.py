"""Opacus' gradients by subject against those of one subject at a time, for every kind of model."""

from typing import Any

import pytest
import torch
from opacus.grad_sample.grad_sample_module import GradSampleHooks
from opacus.optimizers import DPOptimizer

from fedehr_client.privacy.ghost_gradients import GhostGradients
from fedehr_client.privacy.hooked_gradients import HookedGradients
from fedehr_client.privacy.subject_gradients import MARGIN, SubjectGradients

WAYS = [HookedGradients, GhostGradients]


def _trained(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def _one_by_one(variant: Any) -> list[list[torch.Tensor]]:
    """By subject, the gradient of each trained parameter: autograd's own, Opacus nowhere."""
    found = []
    for single in variant.batch.split(1):
        losses = variant.losses_of(single)
        assert losses.shape == (1,)
        gradients = torch.autograd.grad(
            losses[0], _trained(variant.model), allow_unused=True, materialize_grads=True
        )
        found.append([gradient.detach() for gradient in gradients])
    return found


def _norms(by_subject: list[list[torch.Tensor]]) -> torch.Tensor:
    flat = [torch.cat([g.flatten() for g in gradients]).double() for gradients in by_subject]
    return torch.stack([gradient.norm() for gradient in flat])


def _clipped_sum(by_subject: list[list[torch.Tensor]], clip: float) -> list[torch.Tensor]:
    factors = (clip / _norms(by_subject)).clamp(max=1.0).nan_to_num(1.0)
    return [
        sum((f * g.double() for f, g in zip(factors, part, strict=True)), torch.zeros(()))
        for part in zip(*by_subject, strict=True)
    ]


def _added(gradients: SubjectGradients, variant: Any, pieces: list[Any], clip: float) -> Any:
    gradients.begin()
    norms = []
    for piece in pieces:
        gradients.forget()
        found = gradients.add(variant.losses_of(piece), clip)
        assert found is not None
        norms.append(found)
    return torch.cat(norms)


@pytest.mark.parametrize("way", WAYS)
def test_norms_and_clipped_sums_are_those_of_one_subject_at_a_time(variant: Any, way: Any) -> None:
    expected = _one_by_one(variant)
    clip = float(_norms(expected).median())
    gradients = way(variant.model)
    with gradients.listening():
        for pieces in ([variant.batch], variant.batch.split(24), variant.batch.split(1)):
            norms = _added(gradients, variant, pieces, clip)
            torch.testing.assert_close(norms.double(), _norms(expected), rtol=2e-4, atol=1e-6)
            wanted = _clipped_sum(expected, clip * (1 - MARGIN))
            for found, right in zip(gradients.sums, wanted, strict=True):
                torch.testing.assert_close(found.double(), right, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("name", ["pretraining", "lora, wide", "full, attention pooling"])
def test_clipped_sums_are_those_of_opacus_own_optimizer(make: Any, way: Any, name: str) -> None:
    variant, clip = make(name), 0.3
    hooks = GradSampleHooks(variant.model, loss_reduction="sum")
    optimizer = DPOptimizer(
        torch.optim.SGD(_trained(variant.model), lr=1.0),
        noise_multiplier=0.0, max_grad_norm=clip, expected_batch_size=None, loss_reduction="sum",
    )  # fmt: skip
    variant.losses_of(variant.batch).sum().backward()
    optimizer.pre_step()
    expected = [p.grad.clone() for p in _trained(variant.model) if p.grad is not None]
    hooks.cleanup()
    gradients = way(variant.model)
    with gradients.listening():
        _added(gradients, variant, [variant.batch], clip / (1 - MARGIN))
        assert len(gradients.sums) == len(expected)
        for found, right in zip(gradients.sums, expected, strict=True):
            torch.testing.assert_close(found, right, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("width", [16, 256], ids=["from the product", "by pairs"])
@pytest.mark.parametrize("length", [1e4, 1e7, 1e10])
def test_terms_that_cancel_hide_no_gradient(way: Any, width: int, length: float) -> None:
    """What a coordinator could choose weights for: a subject whose tokens' gradients are long
    and nearly opposite. Rounded, the norm of their sum was 0 where it is 100."""
    clip, num_others, num_tokens = 0.5, 300, 32
    model = torch.nn.Sequential(torch.nn.Linear(width, width))
    directions = torch.eye(width)
    signs = torch.tensor([1.0, -1.0]).repeat(num_tokens // 2)[:, None]
    hidden = signs * length * directions[0] + 100 * directions[1]
    # Others leave room: pairs that cancel each other are no longer than nothing together.
    others = directions[2].expand(num_others, num_tokens, width)
    inputs = torch.cat([others, hidden[None]])
    sides = torch.tensor([1.0, -1.0]).repeat(num_others // 2)
    wanted = torch.cat([sides, torch.ones(1)])[:, None, None]
    slopes = torch.randn(width, generator=torch.Generator().manual_seed(0)) / width**0.5

    def clipped_sum(rows: slice) -> torch.Tensor:
        gradients = way(model)
        with gradients.listening():
            gradients.begin()
            gradients.forget()
            mapped = model(inputs[rows])
            gradients.add(((mapped * slopes * wanted[rows]).mean(dim=1)).sum(dim=1), clip)
            return torch.cat([part.flatten() for part in gradients.sums])

    with_it, without_it = clipped_sum(slice(None)), clipped_sum(slice(num_others))
    assert float((with_it - without_it).norm()) <= clip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("length", [1e4, 1e7, 1e10])
@pytest.mark.parametrize("kind", ["scales", "embedding", "bias"])
def test_slopes_that_cancel_hide_no_gradient(way: Any, kind: str, length: float) -> None:
    """As above: what float32 leaves of slopes whose sum is nothing moves the sum of all."""
    clip, width, num_tokens = 0.5, 64, 33
    noise = torch.Generator().manual_seed(1)
    others = torch.randn(100, num_tokens, width, generator=noise)
    slopes = length * torch.randn(num_tokens, width, generator=noise)
    slopes[-1] = -slopes[:-1].double().sum(dim=0).float()
    rows = {
        "scales": torch.randn(width, generator=noise).expand(201, num_tokens, width),
        "embedding": torch.ones(201, num_tokens, dtype=torch.long),
        "bias": torch.zeros(201, num_tokens, width),
    }[kind]
    slope = torch.cat([others, -others, slopes[None]])

    def clipped_sum(number: int) -> torch.Tensor:
        layers = {
            "scales": torch.nn.RMSNorm(width),
            "embedding": torch.nn.Embedding(3, width),
            "bias": torch.nn.Linear(width, width),
        }
        model = torch.nn.Sequential(layers[kind])
        gradients = way(model)
        with gradients.listening():
            gradients.begin()
            gradients.forget()
            losses = (model(rows[:number]) * slope[:number]).sum(dim=(1, 2))
            gradients.add(losses, clip)
            return torch.cat([part.flatten() for part in gradients.sums])

    assert float((clipped_sum(201) - clipped_sum(200)).norm()) <= clip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["pretraining", "lora", "full"])
def test_one_whose_gradient_is_no_number_takes_no_other_with_it(
    make: Any, way: Any, name: str
) -> None:
    """With such weights a long row overflows. In one piece with it all others did so too: a
    coordinator could have told by an empty sum that it was there."""
    variant = make(name)
    with torch.no_grad():
        for parameter in variant.model.parameters():
            parameter.mul_(300)
    gradients = way(variant.model)
    with gradients.listening():
        alone = _added(gradients, variant, variant.batch.split(1), 1.0)
        assert 0 < int(alone.isfinite().sum()) < alone.numel()
        gradients.begin()
        gradients.forget()
        assert gradients.add(variant.losses_of(variant.batch), 1.0) is None
        assert float(torch.nn.utils.get_total_norm(gradients.sums)) == 0
