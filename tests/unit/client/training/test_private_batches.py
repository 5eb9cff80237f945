"""Batches of private rounds: who is drawn, what stands for them, and what steers neither."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_client.training.batches import PretrainingData
from fedehr_client.training.examples import Examples
from fedehr_client.training.private_batches import (
    PrivateLabelledBatches,
    PrivatePretrainingBatches,
)
from fedehr_client.training.round_plan import RoundPlan
from fedehr_shared.config.optimization import PretrainingConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import TooFewSubjectsError
from fedehr_shared.tokens.back_off import BackOffShares
from fedehr_shared.tokens.padded_masking import places_of_row
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.tokens.windows import windows_before
from fedehr_shared.vocabulary.vocabulary import START

NUM_SUBJECTS, CONTEXT = 200, 16
FIRST_TOKEN = 4


def _study(rate: float) -> StudyConfig:
    phase = {"sample_rate": rate}
    return StudyConfig.model_validate({
        "name": "any",
        "sequence": {"context": CONTEXT},
        "model": {"layers": 1, "hidden": 8, "heads": 2},
        "finetuning": {"tasks": ["death"]},
        "privacy": {
            "mechanism": "local", "noise_multiplier": 1, "target_delta": 1e-5,
            "pretraining": phase, "finetuning": phase,
        },
    })  # fmt: skip


def _store() -> TokenStore:
    """Every subject's events are of a token of its own; every fifth has a long record."""
    lengths = np.where(np.arange(NUM_SUBJECTS) % 5 == 0, 40, np.arange(NUM_SUBJECTS) % 7 + 1)
    total = int(lengths.sum())
    places = np.concatenate([np.arange(length) for length in lengths])
    return TokenStore(
        tokens=np.repeat(np.arange(NUM_SUBJECTS) + FIRST_TOKEN, lengths).astype(np.int32),
        times=places * 86_400_000_000,
        hours=(places * 24).astype(np.float32),
        visits=np.zeros(total, dtype=np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        subject_ids=np.arange(NUM_SUBJECTS, dtype=np.int64) + 1_000,
        first_ages=np.zeros(NUM_SUBJECTS, dtype=np.float32),
        sexes=np.zeros(NUM_SUBJECTS, dtype=np.uint8),
        back_off=BackOffShares(None, None, None, None),
    )


def _pretraining(rate: float) -> PrivatePretrainingBatches:
    vocabulary = FIRST_TOKEN + NUM_SUBJECTS
    is_maskable = np.arange(vocabulary) >= FIRST_TOKEN
    rows = np.arange(0, NUM_SUBJECTS, 2)
    data = PretrainingData(_store(), rows, np.arange(vocabulary), is_maskable)
    return PrivatePretrainingBatches(_study(rate), data, PrivateRandomness())


def _labelled(rate: float) -> PrivateLabelledBatches:
    """Subject `s` has `s % 4 + 1` examples, whose label is the example's number."""
    store = _store()
    subjects = np.repeat(np.arange(NUM_SUBJECTS), np.arange(NUM_SUBJECTS) % 4 + 1)
    times = np.concatenate([np.arange(s % 4 + 1) for s in range(NUM_SUBJECTS)]) * 86_400_000_000
    order = np.random.default_rng(0).permutation(subjects.size)
    subjects, times = subjects[order], times[order]
    examples = Examples(
        subjects + 1_000,
        times,
        windows_before(store, subjects, times, CONTEXT),
        np.stack([subjects * 10 + times // 86_400_000_000], axis=1).astype(np.float32),
    )
    return PrivateLabelledBatches(_study(rate), store, examples, PrivateRandomness())


def _shown(targets: torch.Tensor, weights: torch.Tensor) -> list[int]:
    """By row, the token that its targets are of: the subject's."""
    return [int(row[weight > 0][0]) for row, weight in zip(targets, weights, strict=True)]


def test_a_step_sees_each_training_subject_with_the_studys_chance_and_once() -> None:
    rate, num_steps = 0.2, 300
    batches = _pretraining(rate)
    seen: Counter[int] = Counter()
    sizes = []
    for step in range(num_steps):
        batch = batches(step)
        own = _shown(batch.targets, batch.weights)
        assert len(set(own)) == len(own) == batch.num_subjects
        seen.update(own)
        sizes.append(len(own))
    training = set((np.arange(0, NUM_SUBJECTS, 2) + FIRST_TOKEN).tolist())
    assert set(seen) <= training
    # 300 draws at 0.2: 60 each, a deviation of 6.9; sizes: 20 with a deviation of 4, as of
    # independent draws, not a fixed size.
    assert max(abs(seen[token] - 60) for token in training) < 6 * 6.9
    assert np.mean(sizes) == pytest.approx(20, abs=1.5)
    assert 2.5 < np.std(sizes) < 5.5


def test_every_window_of_a_long_record_is_drawn() -> None:
    batches = replace(_pretraining(1.0), data=replace(_pretraining(1.0).data, rows=np.asarray([0])))
    hours = [batches(0).batch for _ in range(60)]
    # 40 events in windows of 15: three, that begin at the first, the 13th and the 25th.
    lengths = {(b.lengths[0], int(b.tokens[0, 0])) for b in hours}
    assert lengths == {(CONTEXT, START)}
    ages = {round(float(b.ages[0, 1]) * 36_525) for b in hours}
    assert ages == {0, 12, 25}


def test_nothing_that_a_study_or_torch_seeds_steers_the_draws() -> None:
    drawn = []
    for _ in range(2):
        torch.manual_seed(0)
        np.random.seed(0)
        batches = _pretraining(0.5)
        drawn.append([_shown(b.targets, b.weights) for b in (batches(0), batches(0))])
    assert drawn[0] != drawn[1]
    # The same step again is another draw.
    assert drawn[0][0] != drawn[0][1]


def test_rows_are_sorted_and_ask_for_a_public_number_of_places() -> None:
    batches = _pretraining(0.6)
    batch = batches(0)
    assert batch.batch.lengths == sorted(batch.batch.lengths)
    assert batch.targets.shape[1] <= places_of_row(_study(0.6).masking, CONTEXT) == 5
    sums = batch.weights.sum(dim=1)
    torch.testing.assert_close(sums, torch.ones_like(sums))


def test_fine_tuning_draws_subjects_and_then_one_example_of_each() -> None:
    batches = _labelled(0.3)
    seen: Counter[int] = Counter()
    examples: Counter[tuple[int, int]] = Counter()
    num_steps = 400
    for step in range(num_steps):
        labels = batches(step).labels[:, 0].long().tolist()
        subjects = [label // 10 for label in labels]
        assert len(set(subjects)) == len(subjects)
        seen.update(subjects)
        examples.update((label // 10, label % 10) for label in labels)
    # 400 draws at 0.3: 120 each, a deviation of 9.2, whatever the number of examples.
    assert max(abs(seen[subject] - 120) for subject in range(NUM_SUBJECTS)) < 6 * 9.2
    for subject in (3, 7, 103):
        counts = [examples[subject, number] for number in range(4)]
        assert min(counts) > 0.1 * sum(counts)


def test_labels_stay_with_their_rows() -> None:
    batch = _labelled(1.0)(0)
    for row, label in enumerate(batch.labels[:, 0].long().tolist()):
        own = batch.batch.tokens[row][batch.batch.is_real[row]][1:]
        assert set(own.tolist()) == {label // 10 + FIRST_TOKEN}


@pytest.mark.parametrize("make", [_pretraining, _labelled])
def test_a_step_of_nobody_is_a_batch_like_any_other(make: Any) -> None:
    batches = make(1e-9)
    batch = batches(0)
    assert batch.num_subjects == 0
    assert batch.split(100) == []
    assert batch.to(torch.device("cpu")).num_subjects == 0


def test_the_plan_of_a_private_round_follows_from_public_numbers() -> None:
    config = PretrainingConfig(rounds=4, steps_per_round=7, steps_per_epoch=3)
    plans = [
        RoundPlan.private(config, size, 3, seed=("any",), min_cell=11) for size in (11, 500, 70_000)
    ]
    assert {plan.steps for plan in plans} == {range(14, 21)}
    assert len({tuple(plan.learning_rate(step) for step in plan.steps) for plan in plans}) == 1
    assert all(plan.deadline_seconds is None for plan in plans)
    with pytest.raises(TooFewSubjectsError, match="min_cell = 11"):
        RoundPlan.private(config, 10, 3, seed=("any",), min_cell=11)
    with pytest.raises(TooFewSubjectsError):
        RoundPlan.private(config, 0, 1, seed=("any",), min_cell=0)
