"""The encoder: attention against its padded reference, and what each event may see."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.config.finetuning import FinetuningConfig
from fedehr_shared.config.loss import LossConfig
from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import WireError
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.finetuning_model import FinetuningModel, pool
from fedehr_shared.model.heads.multitask import MultitaskLoss
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import draw_first_weights, load_parameters, parameters_of
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.masking import MaskedBatch
from fedehr_shared.vocabulary.vocabulary import START

CONFIG = ModelConfig(layers=2, hidden=16, heads=2)
NUM_TOKENS = 40


def _study(**finetuning: Any) -> StudyConfig:
    given = {"tasks": ("death", "long_stay"), **finetuning}
    return StudyConfig(name="any", model=CONFIG, finetuning=FinetuningConfig(**given))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _boundaries(lengths: list[int]) -> list[int]:
    return [0, *np.cumsum(lengths).tolist()]


def _batch(seed: int, lengths: list[int]) -> EventBatch:
    generator = np.random.default_rng(seed)
    num = sum(lengths)
    tokens = torch.from_numpy(generator.integers(4, NUM_TOKENS, num))
    cu_seqlens = torch.tensor(_boundaries(lengths))
    tokens[cu_seqlens[:-1]] = START
    hours = torch.from_numpy(generator.random(num) * 200).float()
    ages = torch.from_numpy(generator.random(num)).float()
    visits, sexes = (torch.from_numpy(generator.integers(0, most, num)) for most in (8, 4))
    return EventBatch(tokens, hours, ages, visits, sexes, cu_seqlens, cu_seqlens.tolist())


def _encoder(seed: int = 0) -> EventEncoder:
    encoder = EventEncoder(CONFIG, NUM_TOKENS)
    load_parameters(encoder, draw_first_weights(encoder, seed, "test"))
    return encoder.eval()


@settings(deadline=None, max_examples=20)
@given(lengths=st.lists(st.integers(1, 9), min_size=2, max_size=5), seed=st.integers(0, 99))
def test_one_subject_changes_nobody_elses_bits(lengths: list[int], seed: int) -> None:
    batch, encoder = _batch(seed, lengths), _encoder()
    with torch.no_grad():
        before = encoder(batch)
        other = _batch(seed + 1_000, lengths)
        begin, end = batch.cu_seqlens[:2].tolist()
        changed = replace(batch, **{
            name: torch.cat([getattr(other, name)[begin:end], getattr(batch, name)[end:]])
            for name in ("tokens", "hours", "ages", "visits")
        })  # fmt: skip
        after = encoder(changed)
    assert torch.equal(before[end:], after[end:])
    assert not torch.equal(before[:end], after[:end])


@settings(deadline=None, max_examples=20)
@given(lengths=st.lists(st.integers(2, 9), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_time_counts_and_place_in_the_stream_does_not(lengths: list[int], seed: int) -> None:
    batch, encoder = _batch(seed, lengths), _encoder()
    generator = np.random.default_rng(seed)
    order = np.concatenate(
        [b + generator.permutation(e - b) for b, e in zip(
            _boundaries(lengths)[:-1], _boundaries(lengths)[1:], strict=True)]
    )  # fmt: skip
    shuffled = replace(
        batch, tokens=batch.tokens[order], hours=batch.hours[order],
        ages=batch.ages[order], visits=batch.visits[order], sexes=batch.sexes[order],
    )  # fmt: skip
    with torch.no_grad():
        encoded = encoder(batch)
        torch.testing.assert_close(encoder(shuffled), encoded[order], atol=1e-5, rtol=1e-4)
        # All hours later: the same. An hour between two events more: not the same.
        later = encoder(replace(batch, hours=batch.hours + 48))
        torch.testing.assert_close(later, encoded, atol=2e-4, rtol=1e-3)
        apart = batch.hours.clone()
        apart[-1] += 5.0
        moved = (encoder(replace(batch, hours=apart)) - encoded).abs().max()
    assert float(moved) > 1e-4


@pytest.mark.parametrize("field", ["tokens", "hours", "ages", "visits", "sexes"])
def test_every_feature_of_an_event_is_read(field: str) -> None:
    batch, encoder = _batch(1, [6, 5]), _encoder()
    values = getattr(batch, field).clone()
    values[3] = (values[3] + 1) % {"visits": 8, "sexes": 4}.get(field, 1_000)
    with torch.no_grad():
        assert not torch.equal(encoder(batch), encoder(replace(batch, **{field: values})))


def test_first_weights_follow_from_the_seed_alone() -> None:
    model = PretrainingModel(CONFIG, ObjectiveConfig(), NUM_TOKENS)
    torch.manual_seed(1)
    one = draw_first_weights(model, 7, "pretraining")
    torch.manual_seed(2)
    again = draw_first_weights(
        PretrainingModel(CONFIG, ObjectiveConfig(), NUM_TOKENS), 7, "pretraining"
    )
    other = draw_first_weights(model, 8, "pretraining")
    assert {n: a.tobytes() for n, a in one.items()} == {n: a.tobytes() for n, a in again.items()}
    assert any(one[name].tobytes() != other[name].tobytes() for name in one)
    assert {n: a.shape for n, a in one.items()} == {
        n: tuple(p.shape) for n, p in model.named_parameters()
    }


def test_weights_come_back_from_a_model_as_they_went_in() -> None:
    model = FinetuningModel(_study(), NUM_TOKENS)
    drawn = draw_first_weights(model, 1)
    load_parameters(model, drawn)
    back = parameters_of(model)
    assert {n: a.tobytes() for n, a in back.items()} == {n: a.tobytes() for n, a in drawn.items()}
    back["heads.0.bias"] += 1
    assert parameters_of(model)["heads.0.bias"].tolist() == drawn["heads.0.bias"].tolist()


@pytest.mark.parametrize("fault", ["missing", "unknown", "shape", "dtype", "nan", "inf"])
def test_weights_that_do_not_fit_are_refused_and_the_model_stays(fault: str) -> None:
    model = FinetuningModel(_study(), NUM_TOKENS)
    drawn: dict[str, Any] = draw_first_weights(model, 1)
    before = parameters_of(model)
    name = "encoder.norm.weight"
    if fault == "missing":
        del drawn[name]
    elif fault == "unknown":
        drawn["encoder.extra"] = drawn[name]
    elif fault == "shape":
        drawn[name] = drawn[name][None]
    elif fault == "dtype":
        drawn[name] = drawn[name].astype(np.float64)
    else:
        drawn[name] = np.full_like(drawn[name], float(fault))
    with pytest.raises(WireError):
        load_parameters(model, drawn)
    after = parameters_of(model)
    assert {n: a.tobytes() for n, a in after.items()} == {n: a.tobytes() for n, a in before.items()}


def test_pooling_is_over_each_sequence() -> None:
    encoded = torch.arange(10.0).reshape(5, 2)
    cu_seqlens = torch.tensor([0, 2, 5])
    assert pool(encoded, cu_seqlens, "mean").tolist() == [[1.0, 2.0], [6.0, 7.0]]
    assert pool(encoded, cu_seqlens, "sum").tolist() == [[2 / 16, 4 / 16], [18 / 16, 21 / 16]]


@settings(deadline=None)
@given(num=st.integers(1, 12), seed=st.integers(0, 999), smoothing=st.floats(0, 0.4))
def test_missing_labels_move_nothing(num: int, seed: int, smoothing: float) -> None:
    generator = np.random.default_rng(seed)
    labels = torch.from_numpy(generator.choice([0.0, 1.0, np.nan], (num, 2))).float()
    logits = torch.from_numpy(generator.normal(size=(num, 2))).float().requires_grad_()
    study = _study().model_copy(update={"loss": LossConfig(label_smoothing=smoothing)})
    loss = MultitaskLoss(study)(logits, labels, (~labels.isnan()).sum(dim=0))
    loss.backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad == 0, labels.isnan())
    expected = []
    for task in range(2):
        known = ~labels[:, task].isnan()
        target = labels[known, task].double() * (1 - 2 * smoothing) + smoothing
        chance = logits[known, task].double().sigmoid()
        each = -(target * chance.log() + (1 - target) * (1 - chance).log())
        expected.append(float(each.mean().detach()) if known.any() else 0.0)
    assert float(loss.detach()) == pytest.approx(np.mean(expected), rel=1e-4, abs=1e-6)


def test_a_batch_with_nothing_hidden_costs_nothing_and_trains_nothing() -> None:
    model = PretrainingModel(CONFIG, ObjectiveConfig(), NUM_TOKENS)
    nothing = torch.zeros(0, dtype=torch.int64)
    loss = model(MaskedBatch.of(_batch(0, [3, 4]), nothing, nothing))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("wide", [False, True])
def test_scores_in_bf16_are_as_many_as_the_sequences(wide: bool) -> None:
    """A head that answers in bf16 tells few of them apart, and an AUROC counts ties."""
    model = FinetuningModel(_study(wide=wide), NUM_TOKENS).eval()
    load_parameters(model, draw_first_weights(model, 2, "test"))
    batch = _batch(4, [7] * 200)
    with torch.no_grad():
        for head in model.heads:
            torch.nn.init.constant_(head.bias, -3.0)
        expected = model(batch)
        with torch.autocast("cpu", torch.bfloat16):
            found = model(batch)
    assert found.dtype == torch.float32
    assert found[:, 0].unique().numel() == expected[:, 0].unique().numel() > 190
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02 * float(expected.std()) + 0.005)


def test_dropout_acts_in_training_only() -> None:
    model = FinetuningModel(_study(tasks=("death",), dropout=0.5), NUM_TOKENS)
    batch = _batch(3, [5, 6])
    with torch.no_grad():
        assert torch.equal(model.eval()(batch), model(batch))
        assert not torch.equal(model.train()(batch), model(batch))
