"""The choice between encodings: the best on the tuning split, ties told, held-out never read."""

from collections.abc import Mapping

import numpy as np
import pytest

from fedehr_shared.meds.schema import HELD_OUT, TRAIN, TUNING
from fedehr_simulations.probe.choice import choose, tuning_score
from fedehr_simulations.probe.encodings import Encodings
from fedehr_simulations.probe.probing import ProbeRules
from fedehr_simulations.probe.replicated import mean_of, replicated_auroc, subject_weights
from fedehr_simulations.probe.separability import site_separability

RULES = ProbeRules(min_cell=11, num_bootstraps=200)
NUM = {TRAIN: 600, TUNING: 300, HELD_OUT: 300}
TASKS = ("death", "long_stay")


def _encodings(signal: float, seed: int = 0) -> dict[str, Encodings]:
    """Labels that are the same whatever the signal in the vectors."""
    found = {}
    for place, (split, num) in enumerate(NUM.items()):
        labels = np.random.default_rng([1, place]).integers(0, 2, (num, 2)).astype(np.float64)
        noise = np.random.default_rng([2, place, seed]).normal(size=(num, 5))
        vectors = noise + signal * (labels[:, :1] + labels[:, 1:])
        found[split] = Encodings(vectors, labels, np.arange(num, dtype=np.int64))
    return found


def test_the_clearer_encoding_is_chosen_wherever_it_stands() -> None:
    scores = [tuning_score(_encodings(signal), TASKS, RULES) for signal in (0.0, 1.5, 0.3)]
    for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1]):
        choice = choose([scores[place] for place in order], RULES.min_cell)
        assert order[choice.place] == 1
        assert choice.tied == ()
        assert choice.reason is None


def test_what_is_as_good_is_told_as_tied() -> None:
    scores = [tuning_score(_encodings(1.0, seed), TASKS, RULES) for seed in (0, 1)]
    weak = tuning_score(_encodings(0.0), TASKS, RULES)
    choice = choose([*scores, weak], RULES.min_cell)
    assert choice.place in {0, 1}
    assert choice.tied == (1 - choice.place,)


def test_equal_ones_leave_the_first() -> None:
    score = tuning_score(_encodings(0.5), TASKS, RULES)
    assert choose([score, score], RULES.min_cell).place == 0


def test_held_out_examples_are_not_needed_to_choose() -> None:
    whole = _encodings(0.5)
    part = {split: whole[split] for split in (TRAIN, TUNING)}
    ours, theirs = (tuning_score(own, TASKS, RULES) for own in (whole, part))
    assert ours.mean is not None
    assert theirs.mean is not None
    assert ours.mean.value == theirs.mean.value


def test_a_task_with_few_tuning_labels_does_not_count() -> None:
    encodings = _encodings(1.0)
    labels = encodings[TUNING].labels.copy()
    labels[:, 1] = np.nan
    labels[:15, 1] = 1.0
    changed = encodings | {TUNING: Encodings(encodings[TUNING].vectors, labels, np.arange(300))}
    score = tuning_score(changed, TASKS, RULES)
    assert score.by_task["long_stay"] is None
    assert score.mean is not None
    assert score.by_task["death"] is not None
    assert score.mean.value == score.by_task["death"].value


def test_without_tuning_labels_there_is_no_choice_and_a_reason() -> None:
    encodings = _encodings(1.0)
    none = np.full((300, 2), np.nan)
    changed = encodings | {TUNING: Encodings(encodings[TUNING].vectors, none, np.arange(300))}
    choice = choose([tuning_score(changed, TASKS, RULES)] * 2, RULES.min_cell)
    assert choice.place == 0
    assert choice.reason is not None
    assert "fewer than 11" in choice.reason


def test_paired_replicates_cancel_what_two_encodings_share() -> None:
    generator = np.random.default_rng(5)
    labels = np.resize([0.0, 1.0], 200)
    scores = labels + generator.normal(size=200)
    weights = subject_weights(200, 200, "paired")
    one = replicated_auroc(labels, [scores], weights)
    same = replicated_auroc(labels, [2 * scores - 1], weights)
    assert one.minus(same).interval().low == one.minus(same).interval().high == 0.0
    assert mean_of([one, same]).value == pytest.approx(one.value)


def test_draws_of_labels_widen_an_interval() -> None:
    generator = np.random.default_rng(6)
    labels = np.resize([0.0, 1.0], 400)
    weights = subject_weights(400, 300, "draws")
    good, bad = labels + 0.5 * generator.normal(size=400), generator.normal(size=400)
    mixed = replicated_auroc(labels, [good, bad], weights)
    alone = [replicated_auroc(labels, [scores], weights) for scores in (good, bad)]
    assert mixed.value == pytest.approx(np.mean([one.value for one in alone]))
    assert np.ptp(mixed.replicates) > max(np.ptp(one.replicates) for one in alone)


def _sites(apart: float, sizes: Mapping[str, int]) -> dict[str, dict[str, Encodings]]:
    generator = np.random.default_rng(8)
    return {
        name: {
            split: Encodings(
                generator.normal(size=(num, 4)) + apart * np.eye(4)[place],
                np.zeros((num, 1)),
                1_000 * place + np.arange(num, dtype=np.int64),
            )
            for split in NUM
        }
        for place, (name, num) in enumerate(sizes.items())
    }


def test_sites_that_lie_apart_are_told_and_others_are_not() -> None:
    sizes = {"north": 300, "south": 150, "west": 100}
    clear, none = (site_separability(_sites(apart, sizes), 11, 200) for apart in (5.0, 0.0))
    assert clear is not None
    assert none is not None
    assert clear.auroc.value > 0.95
    assert clear.accuracy.value > 0.9
    interval = none.auroc.interval()
    assert interval.low is not None
    assert interval.high is not None
    assert interval.low - 0.03 < 0.5 < interval.high + 0.03
    assert none.chance == pytest.approx(300 / 550)
    assert none.accuracy.value < none.chance + 0.05


def test_small_sites_are_left_out_and_one_site_is_nothing_to_tell() -> None:
    told = site_separability(_sites(5.0, {"north": 80, "south": 60, "tiny": 10}), 11, 50)
    assert told is not None
    assert told.sites == ("north", "south")
    assert site_separability(_sites(5.0, {"north": 80, "tiny": 10}), 11, 50) is None
