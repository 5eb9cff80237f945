"""Padded rows against the flat stream: the same encodings, losses and gradients, whoever else is
in the batch."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.heads.multitask import MultitaskLoss
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import draw_first_weights, load_parameters
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.masking import MaskedBatch
from fedehr_shared.tokens.padded_batch import PaddedBatch, rows_within
from fedehr_shared.tokens.padded_labels import PaddedLabelledBatch
from fedehr_shared.tokens.padded_masking import PaddedMaskedBatch, RowPlaces
from fedehr_shared.tokens.places import Places
from fedehr_shared.vocabulary.vocabulary import START

NUM_TOKENS = 40
LENGTHS = st.lists(st.integers(1, 17), min_size=1, max_size=6)
SEEDS = st.integers(0, 10_000)
MODELS = st.builds(
    lambda layers, heads, pairs: ModelConfig(layers=layers, hidden=2 * heads * pairs, heads=heads),
    st.integers(1, 3), st.integers(1, 3), st.integers(4, 6),
)  # fmt: skip
TASKS: dict[str, dict[str, Any]] = {
    "class": {"kind": "multiclass", "classes": ["a", "b", "c"]},
    "days": {"kind": "regression", "center": 5, "scale": 2},
    "hours": {"kind": "time_to_event", "interval_ends_hours": [24, 48, 96]},
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


def _stream(seed: int, lengths: list[int]) -> EventBatch:
    generator = np.random.default_rng(seed)
    num, cuts = sum(lengths), [0, *np.cumsum(lengths).tolist()]
    tokens = torch.from_numpy(generator.integers(4, NUM_TOKENS, num))
    tokens[cuts[:-1]] = START
    hours, ages = (torch.from_numpy(generator.random(num)).float() for _ in range(2))
    visits, sexes = (torch.from_numpy(generator.integers(0, most, num)) for most in (8, 4))
    return EventBatch(tokens, hours * 200, ages, visits, sexes, torch.tensor(cuts), cuts)


def _filled(model: Any, seed: int) -> Any:
    """With large weights: no query of zeros, no bias that says nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return model.train()


def _masked(seed: int, lengths: list[int]) -> MaskedBatch:
    stream = _stream(seed, lengths)
    hidden = np.random.default_rng(seed + 1).random(sum(lengths)) < 0.4
    positions = torch.from_numpy(np.flatnonzero(hidden))
    return MaskedBatch.of(stream, positions, stream.tokens[positions])


def _pretraining_model(model: ModelConfig, seed: int) -> PretrainingModel:
    found: PretrainingModel = _filled(
        PretrainingModel(model, ObjectiveConfig(), NUM_TOKENS, untied=True), seed
    )
    return found


@settings(deadline=None, max_examples=60)
@given(config=MODELS, lengths=LENGTHS, seed=SEEDS)
def test_encodings_are_those_of_the_flat_stream(
    config: ModelConfig, lengths: list[int], seed: int
) -> None:
    encoder = _filled(EventEncoder(config, NUM_TOKENS), seed)
    stream = _stream(seed, lengths)
    rows = PaddedBatch.of(stream)
    with torch.no_grad():
        encoded = encoder(rows)
        assert encoded.isfinite().all()
        torch.testing.assert_close(encoded[rows.is_real], encoder(stream), atol=1e-5, rtol=1e-4)


@settings(deadline=None, max_examples=30)
@given(config=MODELS, lengths=LENGTHS, seed=SEEDS, num_places=st.integers(1, 4))
def test_wanted_places_have_the_encodings_of_all(
    config: ModelConfig, lengths: list[int], seed: int, num_places: int
) -> None:
    encoder = _filled(EventEncoder(config, NUM_TOKENS), seed)
    stream = _stream(seed, lengths)
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, np.asarray(lengths)[:, None], (len(lengths), num_places))
    index = torch.from_numpy(drawn)
    with torch.no_grad():
        some = encoder(PaddedBatch.of(stream), RowPlaces(index))
        flat = encoder(stream)[stream.cu_seqlens[:-1, None] + index]
        torch.testing.assert_close(some, flat, atol=1e-5, rtol=1e-4)
        one = encoder(stream, Places.of(stream.cu_seqlens[:-1], stream))
        first = encoder(PaddedBatch.of(stream), RowPlaces(torch.zeros_like(index)))
        torch.testing.assert_close(first[:, 0], one, atol=1e-5, rtol=1e-4)


@settings(deadline=None, max_examples=40)
@given(config=MODELS, lengths=LENGTHS, seed=SEEDS)
def test_a_subjects_loss_is_the_mean_over_its_own_hidden_events(
    config: ModelConfig, lengths: list[int], seed: int
) -> None:
    model, masked = _pretraining_model(config, seed), _masked(seed, lengths)
    rows = PaddedMaskedBatch.of(masked, max(lengths), np.random.default_rng(0))
    with torch.no_grad():
        losses = model.losses(rows)
        for subject in range(len(lengths)):
            alone = masked._cut(range(subject, subject + 1))
            num = alone.targets.numel()
            expected = model(alone) * masked.num_step_targets / num if num else torch.tensor(0.0)
            torch.testing.assert_close(losses[subject], expected, atol=1e-5, rtol=1e-4)


@settings(deadline=None, max_examples=25)
@given(lengths=LENGTHS, seed=SEEDS, subject=st.integers(0, 5))
def test_nobody_elses_presence_changes_a_subjects_loss_or_gradient(
    lengths: list[int], seed: int, subject: int
) -> None:
    subject %= len(lengths)
    model = _pretraining_model(ModelConfig(layers=2, hidden=16, heads=2), seed)
    rows = PaddedMaskedBatch.of(_masked(seed, lengths), 4, np.random.default_rng(0))
    alone = rows._cut(range(subject, subject + 1))
    in_batch, by_itself = (
        (losses, torch.autograd.grad(losses, list(model.parameters()), materialize_grads=True,
                                     allow_unused=True))
        for losses in (model.losses(rows)[subject], model.losses(alone)[0])
    )  # fmt: skip
    torch.testing.assert_close(in_batch[0], by_itself[0], atol=1e-6, rtol=1e-6)
    for one, other in zip(in_batch[1], by_itself[1], strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@settings(deadline=None, max_examples=25)
@given(lengths=LENGTHS, seed=SEEDS)
def test_what_pads_a_row_reaches_no_gradient(lengths: list[int], seed: int) -> None:
    """Other numbers in the padding change nothing."""
    model = _pretraining_model(ModelConfig(layers=2, hidden=16, heads=2), seed)
    rows = PaddedMaskedBatch.of(_masked(seed, lengths), 4, np.random.default_rng(0))
    batch, padded = rows.batch, ~rows.batch.is_real
    changed = PaddedBatch(
        batch.lengths,
        tokens=batch.tokens.masked_fill(padded, 7),
        hours=batch.hours.masked_fill(padded, 1e4),
        ages=batch.ages.masked_fill(padded, 9.0),
        visits=batch.visits.masked_fill(padded, 5),
        sexes=batch.sexes.masked_fill(padded, 3),
        is_real=batch.is_real,
    )
    gradients = []
    for shown in (batch, changed):
        piece = PaddedMaskedBatch(shown, rows.hidden, rows.targets, rows.weights)
        loss = model.losses(piece).sum()
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def _study(pooling: str, wide: bool, task_weights: str) -> StudyConfig:
    return StudyConfig.model_validate({
        "name": "any",
        "model": {"layers": 2, "hidden": 16, "heads": 2, "pooling": pooling},
        "finetuning": {"tasks": ["death", *TASKS], "wide": wide},
        "tasks": TASKS,
        "loss": {"task_weights": task_weights},
    })  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(
    pooling=st.sampled_from(["mean", "sum", "attention"]),
    wide=st.booleans(),
    task_weights=st.sampled_from(["equal", "uncertainty"]),
    lengths=LENGTHS,
    seed=SEEDS,
)
def test_heads_and_their_losses_are_those_of_the_flat_stream(
    pooling: str, wide: bool, task_weights: str, lengths: list[int], seed: int
) -> None:
    study = _study(pooling, wide, task_weights)
    model, loss = _filled(FinetuningModel(study, NUM_TOKENS), seed), MultitaskLoss(study)
    stream = _stream(seed, lengths)
    generator = np.random.default_rng(seed)
    labels = torch.tensor([1.0, 2.0, 9.0, -30.0]).repeat(len(lengths), 1)
    labels[torch.from_numpy(generator.random(labels.shape) < 0.4)] = torch.nan
    one_of_each = torch.ones(labels.shape[1])
    with torch.no_grad():
        flat, rows = model(stream), model(PaddedBatch.of(stream))
        torch.testing.assert_close(rows, flat, atol=1e-5, rtol=1e-4)
        losses = loss.by_subject(rows, labels, model.log_variances_of(labels))
        assert losses.shape == (len(lengths),)
        for subject, found in enumerate(losses):
            own = slice(subject, subject + 1)
            alone = loss(flat[own], labels[own], one_of_each, model.log_variances)
            torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-4)


@settings(max_examples=200)
@given(
    lengths=st.lists(st.integers(1, 40), max_size=30),
    budget=st.one_of(st.none(), st.integers(1, 200)),
    most_rows=st.one_of(st.none(), st.integers(1, 5)),
)
def test_pieces_hold_every_row_once_and_keep_to_their_bounds(
    lengths: list[int], budget: int | None, most_rows: int | None
) -> None:
    ranges = rows_within(lengths, budget, most_rows)
    assert [row for piece in ranges for row in piece] == list(range(len(lengths)))
    for piece in ranges:
        padded = len(piece) * max(lengths[row] for row in piece)
        assert len(piece) == 1 or budget is None or padded <= budget
        assert most_rows is None or len(piece) <= most_rows


@settings(deadline=None, max_examples=60)
@given(lengths=LENGTHS, seed=SEEDS, budget=st.integers(1, 60), most=st.integers(1, 6))
def test_pieces_of_a_batch_have_its_losses(
    lengths: list[int], seed: int, budget: int, most: int
) -> None:
    model = _pretraining_model(ModelConfig(layers=1, hidden=8, heads=2), seed)
    rows = PaddedMaskedBatch.of(_masked(seed, lengths), most, np.random.default_rng(0), 3)
    pieces = rows.split(budget)
    assert sum(piece.num_subjects for piece in pieces) == len(lengths)
    with torch.no_grad():
        apart = torch.cat([model.losses(piece) for piece in pieces])
        torch.testing.assert_close(apart, model.losses(rows), atol=1e-6, rtol=1e-5)


@settings(max_examples=100)
@given(lengths=LENGTHS, seed=SEEDS, most=st.integers(1, 5))
def test_a_row_is_asked_for_its_own_hidden_events_and_at_most_so_many(
    lengths: list[int], seed: int, most: int
) -> None:
    masked = _masked(seed, lengths)
    rows = PaddedMaskedBatch.of(masked, most, np.random.default_rng(seed))
    cuts = masked.hidden.boundaries
    for subject, begin in enumerate(masked.batch.boundaries[:-1]):
        own = masked.positions[cuts[subject] : cuts[subject + 1]] - begin
        asked = rows.weights[subject] > 0
        places = rows.hidden.index[subject][asked]
        assert places.unique().numel() == places.numel() == min(most, own.numel())
        assert set(places.tolist()) <= set(own.tolist())
        expected = masked.batch.tokens[begin + places]
        assert rows.targets[subject][asked].tolist() == expected.tolist()
        assert float(rows.weights[subject].sum()) == pytest.approx(float(own.numel() > 0))


def test_every_hidden_event_has_the_same_chance_to_be_asked_for() -> None:
    stream = _stream(0, [21])
    positions = torch.arange(1, 21)
    masked = MaskedBatch.of(stream, positions, stream.tokens[positions])
    generator = np.random.default_rng(1)
    counts = np.zeros(21)
    for _ in range(2_000):
        rows = PaddedMaskedBatch.of(masked, 5, generator)
        counts[rows.hidden.index[0].numpy()] += 1
    # 2,000 draws of 5 among 20: 500 each, with a standard deviation of 19.
    assert counts[0] == 0
    assert np.abs(counts[1:] - 500).max() < 5 * 19.4


def test_a_batch_of_nobody_has_no_pieces() -> None:
    empty = _stream(0, [])
    nothing = torch.zeros(0, dtype=torch.int64)
    masked = MaskedBatch.of(empty, nothing, nothing)
    rows = PaddedMaskedBatch.of(masked, 3, np.random.default_rng(0))
    labelled = PaddedLabelledBatch(PaddedBatch.of(empty), torch.zeros(0, 2))
    for batch in (rows, labelled):
        assert batch.num_subjects == batch.num_tokens == 0
        assert batch.split(10) == batch.split(None) == []


def test_weights_are_of_one_name_in_both_forms_but_the_outputs() -> None:
    config = ModelConfig(layers=1, hidden=8, heads=2)
    tied, untied = (
        draw_first_weights(PretrainingModel(config, ObjectiveConfig(), 30, untied=flag), 7)
        for flag in (False, True)
    )
    assert set(tied) - set(untied) == {"output_bias"}
    assert set(untied) - set(tied) == {"output.weight", "output.bias"}
    # What is drawn beside it does not depend on the output: both begin with one encoder.
    assert all(np.array_equal(tied[name], untied[name]) for name in set(tied) & set(untied))
    # It begins small: as unsure as one that knows nothing.
    assert untied["output.weight"].std() < 0.03
    model = PretrainingModel(config, ObjectiveConfig(), 30, untied=True)
    load_parameters(model, untied)
    with torch.no_grad():
        assert float(model(_masked_of_thirty())) == pytest.approx(np.log(30), abs=0.1)


def _masked_of_thirty() -> MaskedBatch:
    stream = _stream(0, [9, 5])
    tokens = stream.tokens % 30
    positions = torch.tensor([2, 5, 11])
    changed = EventBatch(
        tokens, stream.hours, stream.ages, stream.visits, stream.sexes, stream.cu_seqlens,
        stream.boundaries,
    )  # fmt: skip
    return MaskedBatch.of(changed, positions, tokens[positions])
