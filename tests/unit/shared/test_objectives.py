"""Objectives of pre-training: what each may read, how pieces add up, and that each learns."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.config.finetuning import FinetuningConfig
from fedehr_shared.config.masking import MaskingConfig
from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.objectives.decoder import decoder_heads, decoder_width
from fedehr_shared.model.pretraining_model import PretrainingBatch, PretrainingModel
from fedehr_shared.model.weights import build_model, draw_first_weights
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.masking import EventMasker
from fedehr_shared.tokens.views import ViewPairs
from fedehr_shared.tokens.visible import VisibleBatch
from fedehr_shared.vocabulary.vocabulary import MASK, START

MODEL = ModelConfig(layers=2, hidden=32, heads=2)
NUM_CONDITIONS, CODES_OF_ONE = 6, 8
NUM_TOKENS = 4 + NUM_CONDITIONS * CODES_OF_ONE
OBJECTIVES = {
    "masked_events": ObjectiveConfig(),
    "masked_autoencoder": ObjectiveConfig(kind="masked_autoencoder"),
    "contrastive": ObjectiveConfig(kind="contrastive", contrastive_group=3),
    "masked_events_and_views": ObjectiveConfig(contrastive_weight=0.7, contrastive_group=3),
    "masked_autoencoder_and_views": ObjectiveConfig(
        kind="masked_autoencoder", contrastive_weight=0.3, contrastive_group=3, decoder_layers=2
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _stream(lengths: list[int], generator: np.random.Generator, copies: int = 1) -> EventBatch:
    """Subjects of one condition each, whose codes go together; each `copies` times in a row."""
    parts: dict[str, list[Any]] = {name: [] for name in ("tokens", "hours", "visits", "sexes")}
    for length in lengths:
        first = 4 + CODES_OF_ONE * int(generator.integers(NUM_CONDITIONS))
        codes = generator.integers(first, first + CODES_OF_ONE, length)
        hours = np.sort(generator.random(length)) * 500
        sex = int(generator.integers(1, 3))
        for _ in range(copies):
            parts["tokens"] += [START, *codes.tolist()]
            parts["hours"] += [0.0, *hours.tolist()]
            parts["visits"] += [0, *(1 + (hours > 250)).tolist()]
            parts["sexes"] += [sex] * (length + 1)
    tokens, visits, sexes = (torch.tensor(parts[n]) for n in ("tokens", "visits", "sexes"))
    hours = torch.tensor(parts["hours"])
    ages = 0.5 + hours / 876_600
    boundaries = [0, *np.cumsum([n + 1 for n in lengths for _ in range(copies)]).tolist()]
    return EventBatch(tokens, hours, ages, visits, sexes, torch.tensor(boundaries), boundaries)


def _batch(objective: ObjectiveConfig, lengths: list[int], seed: int) -> PretrainingBatch:
    """A step's batch as a site makes it."""
    generator = np.random.default_rng(seed)
    stream = _stream(lengths, generator, objective.num_views)
    is_autoencoder = objective.kind == "masked_autoencoder"
    config = MaskingConfig(rate=objective.hidden_share if is_autoencoder else 0.3)
    codes = np.arange(NUM_TOKENS)
    masker = EventMasker(config, codes, codes >= 4)
    masked = masker.mask(stream, stream.visits.numpy(), generator)
    shown = VisibleBatch.of(masked) if is_autoencoder else masked
    if objective.num_views == 1:
        return shown
    return ViewPairs.of(shown, objective.contrastive_group)


def _model(objective: ObjectiveConfig, seed: int = 0) -> PretrainingModel:
    def make() -> PretrainingModel:
        return PretrainingModel(MODEL, objective, NUM_TOKENS)

    return build_model(make, draw_first_weights(make(), seed, "test"))


def _visible(lengths: list[int], seed: int) -> VisibleBatch:
    batch = _batch(OBJECTIVES["masked_autoencoder"], lengths, seed)
    assert isinstance(batch, VisibleBatch)
    return batch


@settings(deadline=None, max_examples=60)
@given(lengths=st.lists(st.integers(0, 30), min_size=1, max_size=6), seed=st.integers(0, 999))
def test_visible_and_hidden_events_make_up_the_whole(lengths: list[int], seed: int) -> None:
    piece = _visible(lengths, seed)
    whole, seen = piece.masked.batch, piece.batch
    for field in ("tokens", "hours", "ages", "visits", "sexes"):
        assert torch.equal(getattr(seen, field), getattr(whole, field)[piece.places])
    both = torch.cat([piece.places, piece.masked.positions]).sort().values
    assert torch.equal(both, torch.arange(whole.tokens.numel()))
    assert seen.boundaries == seen.cu_seqlens.tolist()
    assert seen.num_sequences == whole.num_sequences
    for number, begin in enumerate(whole.boundaries[:-1]):
        inside = (piece.places >= begin) & (piece.places < whole.boundaries[number + 1])
        assert int(inside.sum()) == seen.boundaries[number + 1] - seen.boundaries[number]
        assert seen.tokens[seen.boundaries[number]] == START


def test_the_encoder_sees_a_quarter_of_the_events() -> None:
    piece = _visible([400] * 10, 3)
    share = piece.batch.tokens.numel() / piece.masked.batch.tokens.numel()
    assert 0.15 < share < 0.35
    read: list[int] = []
    model = _model(OBJECTIVES["masked_autoencoder"])
    for block in model.encoder.blocks:
        block.register_forward_pre_hook(lambda _, args: read.append(args[0].shape[0]))
    model(piece)
    assert read == [piece.batch.tokens.numel()] * MODEL.layers


def test_what_is_hidden_reaches_neither_encoder_nor_decoder() -> None:
    generator = np.random.default_rng(4)
    stream = _stream([20, 9, 14], generator)
    codes = np.arange(NUM_TOKENS)
    # Each event is a group of its own, so that its draw does not depend on its code.
    config = MaskingConfig(rate=0.75, mask_share=1.0, random_share=0.0, hide_copies=False)
    masker = EventMasker(config, codes, codes >= 4)
    model = _model(OBJECTIVES["masked_autoencoder"])

    def read(tokens: torch.Tensor) -> tuple[VisibleBatch, torch.Tensor, torch.Tensor]:
        batch = replace(stream, tokens=tokens)
        masked = masker.mask(batch, stream.visits.numpy(), np.random.default_rng(5))
        piece = VisibleBatch.of(masked)
        with torch.no_grad():
            encoded = model.encoder(piece.batch)
            assert model.naming is not None
            return piece, encoded, model.naming.decoder(encoded, piece)

    piece, encoded, decoded = read(stream.tokens)
    hidden = piece.masked.positions
    assert hidden.numel() > 10
    changed = stream.tokens.clone()
    changed[hidden] = 4 + (changed[hidden] - 4 + 17) % (NUM_TOKENS - 4)
    other, encoded_again, decoded_again = read(changed)
    assert torch.equal(other.masked.positions, hidden)
    assert not torch.equal(other.masked.targets, piece.masked.targets)
    assert torch.equal(encoded, encoded_again)
    assert torch.equal(decoded, decoded_again)
    assert (piece.masked.batch.tokens[hidden] == MASK).all()
    seen = stream.tokens.clone()
    seen[piece.places[1]] = 4 + (seen[piece.places[1]] - 4 + 17) % (NUM_TOKENS - 4)
    assert not torch.equal(read(seen)[2], decoded)


@pytest.mark.parametrize("field", ["hours", "ages", "visits", "sexes"])
def test_the_decoder_knows_when_and_whose_a_hidden_event_was(field: str) -> None:
    piece, model = _visible([12, 8], 6), _model(OBJECTIVES["masked_autoencoder"])
    assert model.naming is not None
    place = piece.masked.positions[0]
    whole = piece.masked.batch
    values = getattr(whole, field).clone()
    values[place] = (values[place] + 1) % 4
    moved = replace(piece, masked=replace(piece.masked, batch=replace(whole, **{field: values})))
    with torch.no_grad():
        encoded = model.encoder(piece.batch)
        before, after = (model.naming.decoder(encoded, p)[0] for p in (piece, moved))
    assert not torch.equal(before, after)


@settings(deadline=None)
@given(heads=st.integers(1, 64), half_head=st.integers(1, 64))
def test_the_decoder_has_half_the_width_and_even_heads(heads: int, half_head: int) -> None:
    hidden = 2 * half_head * heads
    if not 8 <= hidden <= 4_096:
        return
    model = ModelConfig(layers=1, hidden=hidden, heads=heads)
    width, num = decoder_width(model), decoder_heads(model)
    assert width % (2 * num) == 0
    assert hidden / 2 <= width <= hidden / 2 + 1
    if heads % 2 == 0:
        assert width // num == hidden // heads


def _loss_and_gradients(
    model: PretrainingModel, pieces: list[Any], offset: torch.Tensor | None = None
) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    losses = [model(piece, offset) for piece in pieces]
    for loss in losses:
        loss.backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return sum(float(loss.detach()) for loss in losses), gradients


@pytest.mark.parametrize("kind", OBJECTIVES)
@settings(deadline=None, max_examples=12)
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=11),
    budget=st.integers(1, 120),
    seed=st.integers(0, 99),
)
def test_losses_and_gradients_of_pieces_add_up(
    kind: str, lengths: list[int], budget: int, seed: int
) -> None:
    objective = OBJECTIVES[kind]
    batch, model = _batch(objective, lengths, seed), _model(objective)
    pieces: list[Any] = list(batch.split(budget))
    assert sum(piece.num_tokens for piece in pieces) == batch.num_tokens
    offset = torch.linspace(-1, 1, NUM_TOKENS)
    whole, of_whole = _loss_and_gradients(model, [batch], offset)
    summed, of_pieces = _loss_and_gradients(model, pieces, offset)
    assert summed == pytest.approx(whole, rel=1e-5, abs=1e-5)
    for name, gradient in of_whole.items():
        torch.testing.assert_close(of_pieces[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_groups_are_never_cut() -> None:
    objective = OBJECTIVES["masked_autoencoder_and_views"]
    lengths = [9, 3, 12, 1, 7, 7, 2, 30, 4, 5, 6]
    batch = _batch(objective, lengths, 1)
    assert isinstance(batch, ViewPairs)
    pieces = batch.split(1)
    num_sequences = [piece.views.batch.num_sequences for piece in pieces]
    assert num_sequences == [6, 6, 6, 4]
    assert batch.num_step_subjects == 11
    assert {piece.num_step_subjects for piece in pieces} == {11}


@pytest.mark.parametrize(("num", "with_others"), [(1, 0), (2, 2), (3, 3), (4, 3), (6, 6), (7, 6)])
def test_subjects_without_another_in_their_group_are_not_counted(
    num: int, with_others: int
) -> None:
    batch = _batch(OBJECTIVES["contrastive"], [5] * num, 2)
    assert isinstance(batch, ViewPairs)
    assert batch.num_step_subjects == with_others


@pytest.mark.parametrize("kind", ["contrastive", "masked_autoencoder_and_views"])
def test_a_step_of_one_subject_has_nothing_to_tell_it_from(kind: str) -> None:
    objective = OBJECTIVES[kind]
    model = _model(objective)
    loss, gradients = _loss_and_gradients(model, [_batch(objective, [6], 1)])
    compared = {name: g for name, g in gradients.items() if name.startswith("contrastive.")}
    assert len(compared) == 2
    assert all(torch.isfinite(g).all() for g in gradients.values())
    assert not any(g.any() for g in compared.values())
    assert (loss == 0.0) == (kind == "contrastive")


@pytest.mark.parametrize("kind", [name for name in OBJECTIVES if "view" in name])
def test_two_views_are_masked_apart(kind: str) -> None:
    batch = _batch(OBJECTIVES[kind], [30, 25, 40], 5)
    assert isinstance(batch, ViewPairs)
    masked = batch.views.masked if isinstance(batch.views, VisibleBatch) else batch.views
    for subject in range(3):
        one, other = (masked.batch.cut(range(n, n + 1)) for n in (2 * subject, 2 * subject + 1))
        assert torch.equal(one.hours, other.hours)
        assert not torch.equal(one.tokens, other.tokens)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_every_parameter_is_trained(kind: str) -> None:
    model = _model(OBJECTIVES[kind])
    _, gradients = _loss_and_gradients(model, [_batch(OBJECTIVES[kind], [20] * 6, 0)])
    assert [n for n, p in model.named_parameters() if n not in gradients] == []
    assert [n for n, g in gradients.items() if not g.any()] == []


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_fine_tuning_takes_the_encoder_alone(kind: str) -> None:
    own = dict(_model(OBJECTIVES[kind]).named_parameters())
    tuning = FinetuningConfig(tasks=("death",))
    tuned = FinetuningModel(StudyConfig(name="any", model=MODEL, finetuning=tuning), NUM_TOKENS)
    shared = {n for n, _ in tuned.named_parameters()} & set(own)
    assert shared == {n for n in own if n.startswith("encoder.")}
    assert shared == {f"encoder.{n}" for n, _ in tuned.encoder.named_parameters()}


@pytest.mark.parametrize("kind", ["masked_events", "masked_autoencoder"])
def test_an_offset_is_a_bias_of_ones_own(kind: str) -> None:
    batch, model = _batch(OBJECTIVES[kind], [15] * 4, 0), _model(OBJECTIVES[kind])
    offset = torch.randn(NUM_TOKENS, generator=torch.Generator().manual_seed(1)).requires_grad_()
    moved = model(batch, offset)
    moved.backward()
    assert offset.grad is not None
    assert model.output_bias is not None
    assert torch.equal(offset.grad, model.output_bias.grad)
    with torch.no_grad():
        before = model(batch)
        model.output_bias += offset
        assert float(model(batch)) == pytest.approx(float(moved.detach()), rel=1e-6)
    assert float(before) != pytest.approx(float(moved.detach()), rel=1e-3)


@pytest.mark.parametrize("kind", ["masked_events", "masked_autoencoder"])
def test_a_new_model_knows_nothing(kind: str) -> None:
    batch, model = _batch(OBJECTIVES[kind], [30] * 20, 0), _model(OBJECTIVES[kind])
    with torch.no_grad():
        assert float(model(batch)) == pytest.approx(np.log(NUM_TOKENS), abs=0.1)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_each_objective_learns(kind: str) -> None:
    """Beyond the frequencies of codes, which are all alike here: what goes with what."""
    objective = OBJECTIVES[kind].model_copy(update={"contrastive_group": 32})
    model = _model(objective)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, betas=(0.9, 0.98))
    losses = []
    for step in range(60):
        optimizer.zero_grad()
        loss = model(_batch(objective, [16] * 32, step))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.8 * losses[0], losses


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_no_step_waits_for_its_device(kind: str) -> None:
    """On a device without memory, asking for a value or a shape that depends on one fails."""
    objective, device = OBJECTIVES[kind], torch.device("meta")
    batch: Any = _batch(objective, [6, 9, 3, 4], 0)
    with device:
        model = PretrainingModel(MODEL, objective, NUM_TOKENS)
        offset = torch.zeros(NUM_TOKENS)
    for piece in batch.split(40):
        loss = model(piece.to(device), offset)
        loss.backward()
        assert loss.shape == ()
    assert all(p.grad is not None for p in model.parameters())
    with pytest.raises(RuntimeError, match="meta"):
        float(loss)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_bfloat16_changes_little(kind: str) -> None:
    batch, model = _batch(OBJECTIVES[kind], [20] * 6, 0), _model(OBJECTIVES[kind])
    exact, _ = _loss_and_gradients(model, [batch])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded, gradients = _loss_and_gradients(model, [batch])
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=0.02)
    assert all(g.dtype == torch.float32 and torch.isfinite(g).all() for g in gradients.values())
