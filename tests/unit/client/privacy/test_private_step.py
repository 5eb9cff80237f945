"""One private step: what it may depend on, and each way in which it could be void in silence."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import nn

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.token_budget import TokenBudget
from fedehr_client.privacy.clipping_norm import ClippingNorm
from fedehr_client.privacy.ghost_gradients import GhostGradients
from fedehr_client.privacy.hooked_gradients import HookedGradients
from fedehr_client.privacy.listening import holds_each, listening
from fedehr_client.privacy.mechanism import Mechanism
from fedehr_client.privacy.precision import private_compute
from fedehr_client.privacy.private_step import PrivateStepTaker
from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_shared.errors import TrainingError

CPU = torch.device("cpu")
WAYS = [HookedGradients, GhostGradients]
CLIP = 0.05
QUIET = Mechanism(noise_multiplier=1e-9, max_grad_norm=CLIP, expected_subjects=4.0)
"""So little noise that a sum is seen through it."""
NOISY = replace(QUIET, noise_multiplier=2.0)
LOUD = 1e4
"""What a loss is scaled by to make a subject's gradient much larger than others'."""


class _Recorder(torch.optim.SGD):
    """Plain descent that remembers its last gradient."""

    def step(self, closure: Any = None) -> Any:
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        self.last = torch.cat([gradient.double().flatten() for gradient in gradients])
        return super().step(closure)


def _taker(
    variant: Any,
    gradients: Any,
    mechanism: Mechanism = QUIET,
    *,
    losses_of: Any = None,
    randomness: PrivateRandomness | None = None,
    token_budget: int | None = None,
    optimizer: Any = None,
) -> PrivateStepTaker[Any]:
    return PrivateStepTaker(
        optimizer or _Recorder(gradients.parameters, lr=1.0),
        losses_of or variant.losses_of,
        Compute(CPU),
        TokenBudget(token_budget),
        gradients=gradients,
        clipping=ClippingNorm(mechanism),
        randomness=randomness or PrivateRandomness(),
    )


def _moved(variant: Any, way: Any, batch: Any, mechanism: Mechanism = QUIET, **options: Any) -> Any:
    """The gradient that a step moves the weights by, which are put back."""
    before = [p.detach().clone() for p in variant.model.parameters()]
    gradients = way(variant.model)
    optimizer = _Recorder(gradients.parameters, lr=1.0)
    with gradients.listening():
        _taker(variant, gradients, mechanism, optimizer=optimizer, **options).take(0, 0, batch)
    with torch.no_grad():
        for p, b in zip(variant.model.parameters(), before, strict=True):
            p.copy_(b)
    return optimizer.last


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrong", [(-1, 1), (1, -1), ()])
def test_losses_of_another_shape_are_refused_and_nothing_moves(
    make: Any, way: Any, wrong: tuple[int, ...]
) -> None:
    variant = make("full")
    before = [p.detach().clone() for p in variant.model.parameters()]

    def losses_of(piece: Any) -> torch.Tensor:
        losses = variant.losses_of(piece)
        return losses.view(wrong) if wrong else losses.sum()

    gradients = way(variant.model)
    with gradients.listening(), pytest.raises(TrainingError, match="the losses of 5 subjects"):
        _taker(variant, gradients, losses_of=losses_of).take(0, 0, variant.batch)
    for old, parameter in zip(before, variant.model.parameters(), strict=True):
        assert torch.equal(old, parameter)


@dataclass(frozen=True)
class _Rows:
    """The least that a batch of subjects is."""

    values: torch.Tensor

    @property
    def num_subjects(self) -> int:
        return self.values.shape[0]

    @property
    def num_tokens(self) -> int:
        return self.values.numel()

    def split(self, token_budget: int | None) -> list["_Rows"]:
        return [self] if token_budget is None else [_Rows(row[None]) for row in self.values]

    def to(self, device: torch.device) -> "_Rows":
        return _Rows(self.values.to(device))

    def pinned(self) -> "_Rows":
        return self


@dataclass(frozen=True)
class _Plain:
    model: nn.Module
    losses_of: Callable[[_Rows], torch.Tensor]


@pytest.mark.parametrize("way", WAYS)
def test_a_head_that_a_step_leaves_out_is_refused_though_an_earlier_step_saw_it(way: Any) -> None:
    model = nn.ModuleDict({"body": nn.Linear(3, 4), "a": nn.Linear(4, 1), "b": nn.Linear(4, 1)})
    used = ["a", "b"]

    def losses_of(rows: _Rows) -> torch.Tensor:
        found = model["body"](rows.values)
        return sum((model[head](found).square().sum(dim=1) for head in used), torch.zeros(()))

    variant, gradients = _Plain(model, losses_of), way(model)
    with gradients.listening():
        taker = _taker(variant, gradients)
        taker.take(0, 0, _Rows(torch.rand(4, 3)))
        used.remove("b")
        with pytest.raises(TrainingError, match=r"b\.weight could not be told apart by subject"):
            taker.take(1, 0, _Rows(torch.rand(4, 3)))


def _used_outside(model: nn.ModuleDict, *, heard: bool) -> torch.Tensor:
    rows = 1 + torch.rand(1, 3)
    found = nn.functional.linear(rows, model["body"].weight)
    found = found + 0.01 * model["body"](rows) if heard else found
    return model["a"](found).square().sum(dim=1)


def _with_a_body() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"body": nn.Linear(3, 3, bias=False), "a": nn.Linear(3, 1, bias=False)})


@pytest.mark.parametrize("way", WAYS)
def test_a_weight_that_is_used_outside_its_layer_alone_is_refused(way: Any) -> None:
    """Opacus hears layers. What bypasses them it would miss in silence."""
    model = _with_a_body()
    gradients = way(model)
    gradients.begin()
    gradients.forget()
    losses = _used_outside(model, heard=False)
    with gradients.listening(), pytest.raises(TrainingError, match=r"body\.weight"):
        gradients.add(losses, 1.0)


@pytest.mark.parametrize("way", WAYS)
def test_what_bypasses_its_layer_in_part_is_left_out_and_told_at_the_site_alone(
    way: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Rounding can look the same, and a round that failed for it would tell of records."""
    model = _with_a_body()
    gradients = way(model)
    gradients.begin()
    gradients.forget()
    losses = _used_outside(model, heard=True)
    with gradients.listening():
        gradients.add(losses, 0.01)
        assert float(torch.nn.utils.get_total_norm(gradients.sums)) <= 0.01
    assert "bypassed" in caplog.text


class _Flat(nn.Module):
    """Forgets whose tokens are whose, as the flat stream does."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(3, 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """`[subjects]` losses of `[subjects, tokens, 3]`."""
        each = self.map(tokens.flatten(0, 1)).view(tokens.shape[:2])
        return each.square().sum(dim=1)


@pytest.mark.parametrize("way", WAYS)
def test_a_layer_that_mixes_subjects_is_refused(way: Any) -> None:
    model = _Flat()
    gradients = way(model)
    gradients.begin()
    gradients.forget()
    losses = model(torch.rand(4, 5, 3))
    with gradients.listening(), pytest.raises(TrainingError, match="told apart by subject"):
        gradients.add(losses, 1.0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["pretraining", "lora", "full, attention pooling"])
def test_one_subject_more_moves_a_step_by_the_clipping_norm_at_most(
    make: Any, way: Any, name: str
) -> None:
    variant = make(name)

    def losses_of(piece: Any) -> torch.Tensor:
        return variant.losses_of(piece) * LOUD

    whole = _moved(variant, way, variant.batch, losses_of=losses_of)
    for left_out in range(variant.batch.num_subjects):
        rest = [s for k, s in enumerate(variant.batch.split(1)) if k != left_out]
        less = sum(_moved(variant, way, single, losses_of=losses_of) for single in rest)
        change = float((whole - less).norm()) * QUIET.expected_subjects
        assert change <= CLIP * (1 + 1e-4)
        # A loud subject is clipped, not dropped; one without label or hidden event has nothing.
        assert change >= 0.99 * CLIP or change < 1e-6 * CLIP


@pytest.mark.parametrize("way", WAYS)
def test_pieces_change_nothing(make: Any, way: Any) -> None:
    variant = make("pretraining")
    whole = _moved(variant, way, variant.batch)
    for token_budget in (1, 13, 24):
        cut = _moved(variant, way, variant.batch, token_budget=token_budget)
        torch.testing.assert_close(cut, whole, rtol=1e-3, atol=1e-7)


def test_the_public_number_divides_whatever_the_batch(make: Any) -> None:
    variant = make("lora")
    singles = [_moved(variant, HookedGradients, s) for s in variant.batch.split(1)]
    whole = _moved(variant, HookedGradients, variant.batch)
    torch.testing.assert_close(sum(singles), whole, rtol=1e-3, atol=1e-8)
    doubled = replace(QUIET, expected_subjects=2 * QUIET.expected_subjects)
    halves = _moved(variant, HookedGradients, variant.batch, doubled)
    torch.testing.assert_close(2 * halves, whole, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("name", ["lora", "full", "pretraining"])
@pytest.mark.parametrize("way", WAYS)
def test_an_empty_batch_takes_a_step_of_noise_alone(make: Any, way: Any, name: str) -> None:
    variant, empty = make(name), make(name, ()).batch
    assert empty.num_subjects == 0
    moves = _moved(variant, way, empty, NOISY)
    trained = [p for p in variant.model.parameters() if p.requires_grad]
    size = sum(p.numel() for p in trained)
    assert int((moves != 0).sum()) == size
    deviation = NOISY.noise_multiplier * CLIP / NOISY.expected_subjects
    found = float(moves.square().sum() / size) ** 0.5
    assert found == pytest.approx(deviation, rel=6 / math.sqrt(2 * size))


@pytest.mark.parametrize("way", WAYS)
def test_noise_is_as_large_with_subjects_as_without(make: Any, way: Any) -> None:
    variant = make("full")
    size = sum(p.numel() for p in variant.model.parameters() if p.requires_grad)
    quiet = _moved(variant, way, variant.batch)
    noise = _moved(variant, way, variant.batch, NOISY) - quiet
    deviation = NOISY.noise_multiplier * CLIP / NOISY.expected_subjects
    found = float(noise.square().sum() / size) ** 0.5
    assert found == pytest.approx(deviation, rel=6 / math.sqrt(2 * size))


def test_seeds_that_others_may_know_leave_the_noise_as_it_is(make: Any) -> None:
    variant, seen, drawn = make("lora"), [], []

    def losses_of(piece: Any) -> torch.Tensor:
        drawn.append(float(torch.rand(())))  # as dropout would
        return torch.as_tensor(variant.losses_of(piece))

    for _ in range(2):
        torch.manual_seed(7)
        seen.append(_moved(variant, HookedGradients, variant.batch, NOISY, losses_of=losses_of))
    assert not bool((seen[0] == seen[1]).any())
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["pretraining", "lora"])
def test_a_subject_whose_gradient_is_no_number_adds_nothing_and_spoils_nobody(
    make: Any, way: Any, name: str
) -> None:
    variant = make(name)
    singles = variant.batch.split(1)
    expected = sum(_moved(variant, way, single) for single in singles[1:])
    variant.batch.batch.ages[0, 0] = math.nan
    found = _moved(variant, way, variant.batch)
    assert bool(found.isfinite().all())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-7)
    alone = _moved(variant, way, variant.batch.split(1)[0])
    assert float(alone.norm()) < 1e-6 * CLIP


@pytest.mark.parametrize("way", WAYS)
def test_where_memory_runs_out_the_step_is_done_again_in_pieces(make: Any, way: Any) -> None:
    variant = make("full")
    whole = _moved(variant, way, variant.batch)
    sizes = []

    def losses_of(piece: Any) -> torch.Tensor:
        sizes.append(piece.num_subjects)
        losses = variant.losses_of(piece)
        if piece.num_subjects > 2:
            raise MemoryError
        return torch.as_tensor(losses)

    found = _moved(variant, way, variant.batch, losses_of=losses_of)
    assert sizes[0] == variant.batch.num_subjects
    assert max(sizes[-2:]) <= 2
    torch.testing.assert_close(found, whole, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_opacus_stays_on_the_model_even_where_a_step_fails(make: Any, way: Any) -> None:
    variant = make("full")

    def snapshot() -> list[Any]:
        modules = [sorted(m.__dict__) for m in variant.model.modules()]
        hooks = [(len(m._forward_hooks), len(m._backward_hooks)) for m in variant.model.modules()]
        return [modules, hooks, [sorted(p.__dict__) for p in variant.model.parameters()]]

    clean = snapshot()

    def failing(piece: Any) -> torch.Tensor:
        variant.losses_of(piece)
        raise ValueError("broken")

    for losses_of in (failing, variant.losses_of):
        gradients = way(variant.model)
        try:
            with gradients.listening():
                _taker(variant, gradients, losses_of=losses_of).take(0, 0, variant.batch)
        except ValueError:
            assert losses_of is failing
        assert snapshot() == clean


def test_few_numbers_are_held_each_and_many_are_not(make: Any) -> None:
    probe, full = make("probe"), make("full")
    assert holds_each(probe.model)
    assert not holds_each(full.model)
    with listening(probe.model) as gradients:
        assert isinstance(gradients, HookedGradients)
    with listening(full.model) as gradients:
        assert isinstance(gradients, GhostGradients)


@pytest.mark.parametrize(
    ("name", "precision", "kept"),
    [("probe", "bf16", "bf16"), ("full", "bf16", "fp32"), ("probe", "fp16", "fp32")],
)
def test_what_gradients_by_subject_rule_out_is_off(
    make: Any, name: str, precision: Any, kept: str
) -> None:
    asked = Compute(
        CPU, precision=precision, compile=True, checkpointing=True,
        to_fit=frozenset({"checkpointing", "token_budget"}),
    )  # fmt: skip
    found = private_compute(asked, make(name).model)
    assert (found.precision, found.compile, found.checkpointing) == (kept, False, False)
    assert found.to_fit == {"token_budget"}


def test_bf16_gives_nearly_the_same_step(make: Any) -> None:
    variant = make("lora")
    exact = _moved(variant, HookedGradients, variant.batch)

    def losses_of(piece: Any) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return torch.as_tensor(variant.losses_of(piece))

    near = _moved(variant, HookedGradients, variant.batch, losses_of=losses_of)
    assert float((near - exact).norm()) < 0.1 * float(exact.norm())


def test_the_loss_told_at_the_site_is_the_mean_and_an_empty_batch_tells_the_last(
    make: Any, known: Callable[[int], PrivateRandomness]
) -> None:
    variant, empty = make("lora"), make("lora", ()).batch
    expected = variant.losses_of(variant.batch).mean().item()
    gradients = HookedGradients(variant.model)
    with gradients.listening():
        taker = _taker(variant, gradients, randomness=known(1))
        assert taker.take(0, 0, variant.batch).loss == pytest.approx(expected, rel=1e-5)
        assert taker.take(1, 0, empty).loss == pytest.approx(expected, rel=1e-5)
