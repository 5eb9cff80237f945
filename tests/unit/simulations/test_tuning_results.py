"""What trials come to: choice by the tuning split, intervals over subjects and seeds, shares."""

from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from fedehr_shared.config.study import StudyConfig
from fedehr_simulations.tuning_trials.choice import chosen_place
from fedehr_simulations.tuning_trials.replicates import Replicates, interval_of
from fedehr_simulations.tuning_trials.results import Judge
from fedehr_simulations.tuning_trials.scores import SplitScores, read_scores, write_scores

SCORE = st.none() | st.floats(min_value=0, max_value=1)


@given(st.lists(st.lists(SCORE, min_size=2, max_size=2), min_size=1, max_size=6))
def test_the_candidate_with_the_best_mean_is_chosen(scores: list[list[float | None]]) -> None:
    place = chosen_place(scores)
    means = [fmean(own) if None not in own else None for own in scores]  # type: ignore[type-var]
    told = [mean for mean in means if mean is not None]
    if place is None:
        assert not told
    else:
        assert means[place] == max(told)
        assert max(told) not in means[:place]


def _scores(seed: int, signal: float = 1.0, num: int = 400) -> SplitScores:
    """The same subjects and answers for each seed; the second question is not always answered."""
    people = np.random.default_rng(1)
    labels = (people.random((num, 2)) < 0.3).astype(np.float64)
    labels[people.random(num) < 0.2, 1] = np.nan
    noise = np.random.default_rng(100 + seed).standard_normal((num, 2))
    shared = people.standard_normal((num, 2))
    probabilities = 1 / (1 + np.exp(-(signal * np.nan_to_num(labels) + shared + 0.3 * noise)))
    return SplitScores(("death", "stay"), np.arange(num) // 2, labels, probabilities)


def test_the_figure_itself_is_the_mean_over_seeds_of_the_known_answers() -> None:
    by_seed = [_scores(seed) for seed in range(3)]
    drawn = Replicates.of(by_seed[0], 3, 50)
    for view in (0, 1):
        known = ~np.isnan(by_seed[0].labels[:, view])
        for metric, reference in (("auroc", roc_auc_score), ("auprc", average_precision_score)):
            told = drawn.metric(metric, view, by_seed)  # type: ignore[arg-type]
            expected = fmean(
                reference(s.labels[known, view], s.probabilities[known, view]) for s in by_seed
            )
            assert told[0] == pytest.approx(expected, abs=1e-12)
            assert told.shape == (51,)


def test_replicates_draw_subjects_with_all_their_examples() -> None:
    drawn = Replicates.of(_scores(0), 4, 200)
    first, second = drawn.of_examples[1:, ::2], drawn.of_examples[1:, 1::2]
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first.sum(axis=1), 200)
    np.testing.assert_allclose(drawn.of_seeds.sum(axis=1), 1)
    np.testing.assert_array_equal(drawn.of_seeds[0], 0.25)
    # Not every replicate counts every seed once.
    assert len(np.unique(drawn.of_seeds[1:], axis=0)) > 20


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = [_scores(0), _scores(0), _scores(0), _scores(0)]
    unlike = [_scores(0, 0.2), _scores(0, 0.8), _scores(0, 1.4), _scores(0, 2.0)]
    drawn = Replicates.of(alike[0], 4, 500)
    narrow, wide = (interval_of(drawn.metric("auroc", 0, own)) for own in (alike, unlike))
    assert narrow.low is not None
    assert narrow.high is not None
    assert wide.low is not None
    assert wide.high is not None
    assert narrow.high - narrow.low < 0.8 * (wide.high - wide.low)
    # One seed has no other to be drawn: subjects alone count.
    one = Replicates.of(alike[0], 1, 500)
    single = interval_of(one.metric("auroc", 0, alike[:1]))
    assert (single.low, single.high) == pytest.approx((narrow.low, narrow.high), abs=1e-12)


@pytest.fixture(scope="module")
def study() -> StudyConfig:
    return StudyConfig.model_validate(
        {
            "name": "judged",
            "finetuning": {"tasks": ["death", "stay"]},
            "evaluation": {"num_bootstraps": 300},
        }
    )


def _judge(study: StudyConfig, reference: dict[int, SplitScores]) -> Judge:
    return Judge(study, reference)


def test_a_variant_that_says_the_same_keeps_all_of_it(study: StudyConfig) -> None:
    own = {seed: _scores(seed) for seed in range(3)}
    judge = _judge(study, own)
    scores, share = judge.scores(own), judge.share(own)
    for told in scores.values():
        assert (told.difference.value, told.difference.low, told.difference.high) == (0, 0, 0)
    assert share is not None
    for kept in (share.of_auroc, share.of_skill):
        assert (kept.value, kept.low, kept.high) == (1, 1, 1)


def test_a_weaker_variant_keeps_what_its_figures_say(study: StudyConfig) -> None:
    reference = {seed: _scores(seed, 1.5) for seed in range(3)}
    weaker = {seed: _scores(seed, 0.5) for seed in range(3)}
    judge = _judge(study, reference)
    ours, theirs, share = judge.scores(weaker), judge.scores(reference), judge.share(weaker)
    assert share is not None
    means = [fmean(told.auroc.value or 0.0 for told in side.values()) for side in (ours, theirs)]
    assert share.of_auroc.value == pytest.approx(means[0] / means[1])
    assert share.of_skill.value == pytest.approx((means[0] - 0.5) / (means[1] - 0.5))
    for task, told in ours.items():
        reference_value = theirs[task].auroc.value
        assert told.auroc.value is not None
        assert reference_value is not None
        assert told.difference.value == pytest.approx(told.auroc.value - reference_value)
        assert told.difference.high is not None
        assert told.difference.high < 0


def test_only_seeds_that_both_have_are_compared(study: StudyConfig) -> None:
    reference = {seed: _scores(seed, 1.5) for seed in range(3)}
    judge = _judge(study, reference)
    fewer = {1: _scores(1, 1.5)}
    assert judge.scores(fewer)["death"].difference.value == 0


def test_too_few_answers_are_withheld(study: StudyConfig) -> None:
    few = _scores(0)
    labels = few.labels.copy()
    positives = np.flatnonzero(labels[:, 1] == 1)
    labels[positives[study.vocabulary.min_cell - 1 :], 1] = 0
    own = {0: SplitScores(few.views, few.subjects, labels, few.probabilities)}
    judge = _judge(study, own)
    scores = judge.scores(own)
    assert scores["death"].auroc.value is not None
    assert scores["stay"].auroc.value is None
    assert scores["stay"].difference.reason is not None
    assert judge.share(own) is None
    assert own[0].auroc(study.vocabulary.min_cell)["stay"] is None


def test_scores_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("scores") / "scores.npz"
    written = _scores(4)
    write_scores(path, written)
    read = read_scores(path)
    assert read.views == written.views
    assert read.digest == written.digest
    np.testing.assert_array_equal(read.probabilities, written.probabilities)
    assert path.stat().st_mode & 0o777 == 0o600
