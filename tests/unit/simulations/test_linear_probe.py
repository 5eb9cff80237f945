"""Probes find what is planted, find nothing in a coin, and see only the labels they may."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedehr_shared.meds.schema import HELD_OUT, TRAIN, TUNING
from fedehr_shared.metrics.binary import auroc
from fedehr_simulations.probe.encodings import Encodings
from fedehr_simulations.probe.label_draws import drawn_rows
from fedehr_simulations.probe.linear_probe import LabelledVectors, fit_probe
from fedehr_simulations.probe.probing import ProbeRules, ProbeScore, probe_tasks

NUM = {TRAIN: 1_500, TUNING: 300, HELD_OUT: 800}
DIRECTION = np.random.default_rng(0).normal(size=24)
RULES = ProbeRules(min_cell=11, num_bootstraps=300)


def _planted(split: str) -> Encodings:
    """Task 0 follows one direction of the vectors, which another stretch; task 1 is a coin."""
    generator = np.random.default_rng([7, list(NUM).index(split)])
    vectors = generator.normal(size=(NUM[split], DIRECTION.size))
    odds = 0.5 * vectors @ DIRECTION - 1.0
    signal = generator.random(NUM[split]) < 1 / (1 + np.exp(-odds))
    coin = generator.random(NUM[split]) < 0.5
    stretched = vectors * np.logspace(-3, 3, DIRECTION.size) + 5.0
    labels = np.stack([signal, coin], axis=1).astype(np.float64)
    return Encodings(stretched, labels, np.arange(NUM[split], dtype=np.int64))


ENCODINGS = {split: _planted(split) for split in NUM}


def _scores(encodings: dict[str, Encodings], rules: ProbeRules) -> list[ProbeScore]:
    return [task.score(rules) for task in probe_tasks(encodings, ["signal", "coin"], rules)]


@pytest.fixture(scope="module")
def scores() -> dict[tuple[str, int | None], ProbeScore]:
    told = _scores(ENCODINGS, RULES)
    return {(score.task, score.num_labels): score for score in told}


def _oracle() -> float:
    held_out = ENCODINGS[HELD_OUT]
    true = (held_out.vectors - 5.0) / np.logspace(-3, 3, DIRECTION.size) @ DIRECTION
    return float(auroc(held_out.labels[:, 0], true, np.ones((1, true.size)))[0])


def test_a_planted_direction_is_found_whatever_its_scale(
    scores: dict[tuple[str, int | None], ProbeScore],
) -> None:
    found = scores["signal", None].auroc.value
    assert found is not None
    assert _oracle() - 0.02 < found <= _oracle() + 0.01


def test_few_labels_find_less_of_it(scores: dict[tuple[str, int | None], ProbeScore]) -> None:
    few, every = scores["signal", 256].auroc, scores["signal", None].auroc
    assert few.value is not None
    assert every.value is not None
    assert 0.6 < few.value < every.value


@pytest.mark.parametrize("num_labels", [None, 256])
def test_a_coin_is_within_its_interval(
    scores: dict[tuple[str, int | None], ProbeScore], num_labels: int | None
) -> None:
    interval = scores["coin", num_labels].auroc
    assert interval.low is not None
    assert interval.high is not None
    assert interval.low < 0.5 < interval.high
    assert interval.high - interval.low > 0.03


def test_labels_that_were_not_drawn_change_nothing(
    scores: dict[tuple[str, int | None], ProbeScore],
) -> None:
    changed = {}
    for split, own in ENCODINGS.items():
        labels = own.labels.copy()
        if split != HELD_OUT:
            drawn = [drawn_rows(labels[:, 0], 256, split, "signal", draw) for draw in range(3)]
            others = np.setdiff1d(np.arange(NUM[split]), np.concatenate(drawn))
            assert others.size > 0
            labels[others, 0] = 1 - labels[others, 0]
        changed[split] = Encodings(own.vectors, labels, own.subject_ids)
    rules = ProbeRules(RULES.min_cell, RULES.num_bootstraps, label_numbers=(256,))
    told = _scores(changed, rules)
    assert told[0] == scores["signal", 256]


def test_held_out_labels_choose_nothing() -> None:
    turned = dict(ENCODINGS)
    own = ENCODINGS[HELD_OUT]
    turned[HELD_OUT] = Encodings(own.vectors, 1 - own.labels, own.subject_ids)
    rules = ProbeRules(RULES.min_cell, RULES.num_bootstraps, label_numbers=(None,))
    (first, _), (second, _) = (_scores(encodings, rules) for encodings in (ENCODINGS, turned))
    assert first.auroc.value is not None
    assert second.auroc.value == pytest.approx(1 - first.auroc.value)


def test_too_few_positives_are_withheld() -> None:
    own = ENCODINGS[HELD_OUT]
    labels = np.full_like(own.labels, np.nan)
    labels[:60] = 0.0
    labels[:10] = 1.0
    rare = ENCODINGS | {HELD_OUT: Encodings(own.vectors, labels, own.subject_ids)}
    (probed, _) = probe_tasks(rare, ["rare"], RULES)
    score = probed.score(RULES)
    assert score.auroc.value is None
    assert score.auroc.reason == "fewer than 11 positives or negatives"


def test_a_training_split_of_one_class_gives_no_order() -> None:
    vectors = np.random.default_rng(1).normal(size=(20, 3))
    one_class = LabelledVectors(vectors, np.zeros(20))
    both = LabelledVectors(vectors, np.arange(20) % 2.0)
    assert fit_probe(one_class, both).score(vectors).tolist() == [0.0] * 20
    empty = LabelledVectors(np.empty((0, 3)), np.empty(0))
    assert fit_probe(empty, both).score(vectors).tolist() == [0.0] * 20


def test_a_tuning_split_of_one_class_leaves_the_strongest_penalty() -> None:
    generator = np.random.default_rng(2)
    vectors = generator.normal(size=(200, 3))
    train = LabelledVectors(vectors, (vectors[:, 0] > 0).astype(np.float64))
    probe = fit_probe(train, LabelledVectors(vectors[:9], np.ones(9)))
    assert probe.fitted.C == 1e-4


@given(
    num=st.integers(1, 200),
    share=st.floats(0.0, 1.0),
    sizes=st.tuples(st.integers(0, 100), st.integers(0, 100)),
    seed=st.integers(0, 9),
)
def test_draws_are_nested_and_hold_known_labels_once(
    num: int, share: float, sizes: tuple[int, int], seed: int
) -> None:
    labels = np.zeros(num)
    labels[np.random.default_rng(seed).random(num) < share] = np.nan
    small, large = (drawn_rows(labels, size, "death", seed) for size in sorted(sizes))
    assert small.tolist() == large[: small.size].tolist()
    assert np.unique(large).size == large.size == min(max(sizes), np.count_nonzero(labels == 0))
    assert not np.isnan(labels[large]).any()
    assert drawn_rows(labels, None).tolist() == np.flatnonzero(labels == 0).tolist()
