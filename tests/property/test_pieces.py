"""A step's batch in pieces within a token budget: joined, they are the batch, whatever it is."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from fedehr_client.training.labelled_batches import LabelledBatch
from fedehr_shared.config.finetuning import FinetuningConfig
from fedehr_shared.config.loss import LossConfig
from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.heads.multitask import MultitaskLoss
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import draw_first_weights, load_parameters
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.budget import check_budget, ranges_within
from fedehr_shared.tokens.masking import MaskedBatch
from fedehr_shared.vocabulary.vocabulary import MASK, START
from fedehr_shared.wire.task_balance import TaskBalance

NUM_TOKENS = 40
MODEL = ModelConfig(layers=2, hidden=16, heads=2)
TUNING = FinetuningConfig(tasks=("death", "long_stay"))
STUDY = StudyConfig(
    name="any", model=MODEL, finetuning=TUNING, loss=LossConfig(label_smoothing=0.1)
)
KINDS: dict[str, dict[str, Any]] = {
    "death": {},
    "class": {"kind": "multiclass", "classes": ["a", "b", "c"], "class_weights": [1, 2, 0.5]},
    "days": {"kind": "regression", "center": 5, "scale": 2},
    "hours": {"kind": "time_to_event", "interval_ends_hours": [24, 48, 96]},
}
LOSSES: list[dict[str, Any]] = [
    {"task_weights": "equal", "label_smoothing": 0.1},
    {"task_weights": "fixed", "kind": "focal"},
    {"task_weights": "dynamic", "class_weights": "balanced"},
    {"task_weights": "uncertainty"},
]
BALANCE = TaskBalance((0.4, 0.3, 0.2, 0.1), {"death": (0.9, 0.1)})
COLUMNS = ("tokens", "hours", "ages", "visits", "sexes")
ROUNDING = {torch.float32: 5e-6, torch.float64: 1e-11}
"""Of gradients, as a share of what is summed up. Most are below 1e-7 in single precision; that
the pieces add up and do not merely come near is seen in double precision."""
lengths_of_sequences = st.lists(st.integers(1, 20), min_size=1, max_size=12)
AnyModel = TypeVar("AnyModel", bound=nn.Module)
budgets = st.none() | st.integers(1, 80)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _batch(generator: np.random.Generator, lengths: list[int]) -> EventBatch:
    num = sum(lengths)
    boundaries = [0, *np.cumsum(lengths).tolist()]
    tokens = generator.integers(4, NUM_TOKENS, num)
    tokens[boundaries[:-1]] = START
    hours, ages = (generator.random(num).astype(np.float32) * most for most in (200, 1))
    visits, sexes = (generator.integers(0, most, num) for most in (8, 4))
    return EventBatch(
        torch.from_numpy(tokens),
        torch.from_numpy(hours),
        torch.from_numpy(ages),
        torch.from_numpy(visits),
        torch.from_numpy(sexes),
        torch.tensor(boundaries),
        boundaries,
    )


@st.composite
def masked_batches(draw: st.DrawFn) -> MaskedBatch:
    """Any positions may be hidden: in a piece all, or none."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    batch = _batch(generator, draw(lengths_of_sequences))
    rate = draw(st.sampled_from([0.0, 0.05, 0.3, 1.0]))
    hidden = np.flatnonzero(generator.random(batch.tokens.numel()) < rate)
    positions = torch.from_numpy(hidden)
    targets = batch.tokens[positions]
    batch.tokens[positions] = MASK
    return MaskedBatch.of(batch, positions, targets)


@st.composite
def labelled_batches(draw: st.DrawFn) -> LabelledBatch:
    """Two tasks, with labels of few subjects, of all or of none."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    batch = _batch(generator, draw(lengths_of_sequences))
    chances = draw(st.sampled_from([[0.5, 0.5, 0.0], [0.1, 0.1, 0.8], [0.0, 0.0, 1.0]]))
    drawn = generator.choice([0.0, 1.0, np.nan], (batch.num_sequences, 2), p=chances)
    labels = torch.from_numpy(drawn.astype(np.float32))
    return LabelledBatch(batch, labels, (~labels.isnan()).sum(dim=0))


@settings(deadline=None, max_examples=300)
@given(lengths=lengths_of_sequences, budget=budgets, group=st.integers(1, 5))
def test_ranges_hold_whole_groups_within_the_budget_and_no_fewer_than_fit(
    lengths: list[int], budget: int | None, group: int
) -> None:
    boundaries = [0, *np.cumsum(lengths).tolist()]
    ranges = ranges_within(boundaries, budget, group)
    assert [number for found in ranges for number in found] == list(range(len(lengths)))
    assert all(found.start % group == 0 for found in ranges)
    if budget is None:
        assert len(ranges) == 1
        return
    for found in ranges:
        size = boundaries[found.stop] - boundaries[found.start]
        assert 0 < size <= budget or len(found) <= group
    for found, after in pairwise(ranges):
        # The next group would not have fitted.
        end = min(after.start + group, len(lengths))
        assert boundaries[end] - boundaries[found.start] > budget


def _assert_joined(pieces: list[EventBatch], whole: EventBatch) -> None:
    for name in COLUMNS:
        joined = torch.cat([getattr(piece, name) for piece in pieces])
        assert torch.equal(joined, getattr(whole, name))
    lengths = torch.cat([piece.cu_seqlens.diff() for piece in pieces])
    assert torch.equal(lengths, whole.cu_seqlens.diff())
    for piece in pieces:
        assert piece.boundaries == piece.cu_seqlens.tolist()
        assert piece.boundaries[0] == 0
        assert piece.boundaries[-1] == piece.tokens.numel()


@settings(deadline=None, max_examples=300)
@given(masked=masked_batches(), budget=budgets, group=st.integers(1, 3))
def test_masked_pieces_joined_are_the_batch(
    masked: MaskedBatch, budget: int | None, group: int
) -> None:
    pieces = masked.split(budget, group)
    _assert_joined([piece.batch for piece in pieces], masked.batch)
    begins = np.cumsum([0, *(piece.num_tokens for piece in pieces)])
    found = [piece.positions + int(b) for piece, b in zip(pieces, begins[:-1], strict=True)]
    assert torch.equal(torch.cat(found), masked.positions)
    assert torch.equal(torch.cat([piece.targets for piece in pieces]), masked.targets)
    assert begins[-1] == masked.num_tokens
    for piece in pieces:
        assert bool((piece.batch.tokens[piece.positions] == MASK).all())
        assert piece.num_step_targets == masked.positions.numel()
        assert budget is None or piece.num_tokens <= budget or piece.batch.num_sequences <= group


@settings(deadline=None, max_examples=200)
@given(labelled=labelled_batches(), budget=budgets)
def test_labelled_pieces_joined_are_the_batch(labelled: LabelledBatch, budget: int | None) -> None:
    pieces = labelled.split(budget)
    _assert_joined([piece.batch for piece in pieces], labelled.batch)
    labels = torch.cat([piece.labels for piece in pieces])
    assert torch.equal(labels.nan_to_num(9.0), labelled.labels.nan_to_num(9.0))
    for piece in pieces:
        assert piece.labels.shape == (piece.batch.num_sequences, 2)
        assert torch.equal(piece.num_step_labels, labelled.num_step_labels)
        size = piece.batch.tokens.numel()
        assert budget is None or size <= budget or piece.batch.num_sequences == 1


@settings(deadline=None, max_examples=100)
@given(masked=masked_batches(), budget=st.integers(8, 60), group=st.integers(1, 3))
def test_pieces_of_a_piece_share_the_step_as_the_piece_does(
    masked: MaskedBatch, budget: int, group: int
) -> None:
    """A loop that runs out of memory splits what it was about to compute."""
    again = [part for piece in masked.split(budget, group) for part in piece.split(budget // 2)]
    _assert_joined([part.batch for part in again], masked.batch)
    assert torch.equal(torch.cat([part.targets for part in again]), masked.targets)
    assert {part.num_step_targets for part in again} == {masked.num_step_targets}


def _loaded(model: AnyModel) -> AnyModel:
    load_parameters(model, draw_first_weights(model, 3, "pieces"))
    return model


def _gradient(model: nn.Module, loss: torch.Tensor) -> tuple[float, torch.Tensor]:
    """The loss, and all of the model's gradient in one vector."""
    model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    parts = [gradient.flatten() for gradient in gradients]
    return float(loss.detach()), torch.cat(parts)


def _assert_adds_up(
    model: nn.Module,
    loss_of: Callable[[Any], torch.Tensor],
    whole: MaskedBatch | LabelledBatch,
    budget: int,
    precision: torch.dtype,
) -> float:
    """The whole's loss. Rounding goes by single subjects, whose gradients may cancel."""
    model.to(precision)
    batch = replace(
        whole.batch, hours=whole.batch.hours.to(precision), ages=whole.batch.ages.to(precision)
    )
    whole = replace(whole, batch=batch)
    loss, gradient = _gradient(model, loss_of(whole))
    pieces = [_gradient(model, loss_of(piece)) for piece in whole.split(budget)]
    singles = [_gradient(model, loss_of(piece)) for piece in whole.split(1)]
    assert sum(loss for loss, _ in pieces) == pytest.approx(loss, rel=5e-6, abs=0.0)
    error = sum(part for _, part in pieces) - gradient
    summed_up = sum(float(part.norm()) for _, part in singles)
    assert float(error.norm()) <= ROUNDING[precision] * summed_up
    return loss


@settings(deadline=None, max_examples=40)
@given(masked=masked_batches(), budget=st.integers(1, 80), precision=st.sampled_from([*ROUNDING]))
def test_losses_and_gradients_of_masked_pieces_add_up(
    masked: MaskedBatch, budget: int, precision: torch.dtype
) -> None:
    assume(len(masked.split(budget)) > 1)
    model = _loaded(PretrainingModel(MODEL, ObjectiveConfig(), NUM_TOKENS))
    loss = _assert_adds_up(model, model, masked, budget, precision)
    assert (loss > 0) == bool(masked.positions.numel())


@settings(deadline=None, max_examples=40)
@given(
    labelled=labelled_batches(), budget=st.integers(1, 80), precision=st.sampled_from([*ROUNDING])
)
def test_losses_and_gradients_of_labelled_pieces_add_up(
    labelled: LabelledBatch, budget: int, precision: torch.dtype
) -> None:
    assume(len(labelled.split(budget)) > 1)
    model, loss = _loaded(FinetuningModel(STUDY, NUM_TOKENS)), MultitaskLoss(STUDY)

    def loss_of(piece: LabelledBatch) -> torch.Tensor:
        found: torch.Tensor = loss(model(piece.batch), piece.labels, piece.num_step_labels)
        return found

    total = _assert_adds_up(model, loss_of, labelled, budget, precision)
    assert (total > 0) == bool(labelled.num_step_labels.any())


@st.composite
def batches_of_all_kinds(draw: st.DrawFn) -> LabelledBatch:
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    batch = _batch(generator, draw(lengths_of_sequences))
    num = batch.num_sequences
    labels = np.stack(
        [
            generator.integers(0, 2, num),
            generator.integers(0, 3, num),
            generator.normal(5, 6, num),
            generator.choice([12.0, 24.0, 36.0, 80.0, 200.0], num) * generator.choice([-1, 1], num),
        ],
        axis=1,
    ).astype(np.float32)
    labels[generator.random(labels.shape) < draw(st.sampled_from([0.0, 0.5, 0.9]))] = np.nan
    given = torch.from_numpy(labels)
    return LabelledBatch(batch, given, (~given.isnan()).sum(dim=0))


@settings(deadline=None, max_examples=15)
@given(
    labelled=batches_of_all_kinds(),
    budget=st.integers(1, 80),
    precision=st.sampled_from([*ROUNDING]),
    pooling=st.sampled_from(["mean", "sum", "attention"]),
)
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_of_all_kinds_of_pieces_add_up_whatever_the_weights(
    loss: dict[str, Any], labelled: LabelledBatch, budget: int, precision: torch.dtype, pooling: str
) -> None:
    assume(len(labelled.split(budget)) > 1)
    study = StudyConfig.model_validate(
        {
            "name": "any",
            "model": {"layers": 1, "hidden": 16, "heads": 2, "pooling": pooling},
            "finetuning": {"tasks": list(KINDS)},
            "tasks": {name: kind for name, kind in KINDS.items() if kind},
            "loss": loss,
        }
    )
    model = _loaded(FinetuningModel(study, NUM_TOKENS))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("pooling.", "uncertainty.")):
                parameter.normal_(generator=torch.Generator().manual_seed(1))
    total = MultitaskLoss(study, BALANCE if "dynamic" in loss.values() else None)

    def loss_of(piece: LabelledBatch) -> torch.Tensor:
        given = (piece.labels, piece.num_step_labels, model.log_variances)
        found: torch.Tensor = total(model(piece.batch), *given)
        return found

    _assert_adds_up(model, loss_of, labelled, budget, precision)


def test_a_budget_below_the_context_is_refused_with_both_numbers() -> None:
    with pytest.raises(ConfigError, match=r"token_budget = 511 .* context = 512") as refused:
        check_budget(511, 512)
    assert "512 or more" in str(refused.value)
    check_budget(512, 512)
    check_budget(None, 16_384)
