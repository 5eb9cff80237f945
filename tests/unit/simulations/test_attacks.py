"""Attacks on membership: their arithmetic against references, and the bound of epsilon."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from fedehr_shared.errors import UsageError
from fedehr_simulations.attacks.audit.empirical_epsilon import gaussian_epsilon
from fedehr_simulations.attacks.bound import PrivacyBound
from fedehr_simulations.attacks.canaries import UNLEARNT_BITS, exposures
from fedehr_simulations.attacks.candidates import SubjectConfidences
from fedehr_simulations.attacks.drawn_members import drawn_members
from fedehr_simulations.attacks.judging import AttackName, Guesses, judge_attack
from fedehr_simulations.attacks.likelihood_ratio import likelihood_ratios
from fedehr_simulations.attacks.loss_threshold import loss_scores
from fedehr_simulations.attacks.operating_points import cross_fitted_calls, tpr_at
from fedehr_simulations.attacks.plan import AttackPlan
from fedehr_simulations.attacks.subject_means import subject_means

rates = st.floats(0, 1)


@settings(deadline=None)
@given(epsilon=st.floats(0, 20), delta=st.floats(0, 0.1), fpr=rates)
def test_the_bound_is_the_one_of_the_definition(epsilon: float, delta: float, fpr: float) -> None:
    tpr = PrivacyBound(epsilon, delta).greatest_tpr(fpr)
    assert fpr - 1e-12 <= tpr <= 1
    highest = (
        math.exp(epsilon) * fpr + delta,
        # 1 - FPR <= e^epsilon (1 - TPR) + delta, solved for TPR.
        1 - math.exp(-epsilon) * (1 - fpr - delta),
        1.0,
    )
    assert tpr == pytest.approx(min(highest), abs=1e-12)


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 0.0), (1.0, 1e-5), (0.3, 0.02), (8.0, 1e-5)])
def test_area_and_accuracy_are_those_of_the_curve(epsilon: float, delta: float) -> None:
    bound = PrivacyBound(epsilon, delta)
    fpr = np.linspace(0, 1, 400_001)
    tpr = np.array([bound.greatest_tpr(rate) for rate in fpr[::100]])
    assert bound.greatest_auroc == pytest.approx(np.trapezoid(tpr, fpr[::100]), abs=1e-3)
    best = max((1 + t - f) / 2 for t, f in zip(tpr, fpr[::100], strict=True))
    assert bound.greatest_balanced_accuracy == pytest.approx(best, abs=1e-3)


def test_no_attack_on_a_gaussian_mechanism_passes_the_bound() -> None:
    delta = 1e-3
    bound = PrivacyBound(gaussian_epsilon(1.0, delta), delta)
    for fpr in (1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9):
        reached = norm.cdf(1.0 + norm.ppf(fpr))
        assert reached <= bound.greatest_tpr(fpr)
    assert norm.cdf(1 / math.sqrt(2)) <= bound.greatest_auroc


@given(num=st.integers(2, 60), pairs=st.integers(1, 6), seed=st.integers(0, 9))
def test_each_subject_is_in_half_of_the_shadows(num: int, pairs: int, seed: int) -> None:
    members = drawn_members(range(num), 2 * pairs, seed)
    assert (members.sum(axis=0) == pairs).all()
    assert (members[::2] != members[1::2]).all()


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=4, max_size=40),
    fpr=st.sampled_from([0.0, 0.1, 0.34, 0.5]),
)
def test_the_rate_at_false_alarms_is_scikit_learn_s(
    rows: list[tuple[bool, int]], fpr: float
) -> None:
    labels = np.array([float(member) for member, _ in rows])
    scores = np.array([float(score) for _, score in rows])
    if labels.min() == labels.max():
        return
    found = tpr_at(fpr)(labels, scores, np.ones((1, labels.size)))[0]
    alarms, hits, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert found == pytest.approx(max(hits[alarms <= fpr + 1e-9]))


def test_a_threshold_chosen_elsewhere_gains_nothing_from_chance() -> None:
    generator = np.random.default_rng(0)
    found = []
    for _ in range(200):
        labels, scores = generator.integers(0, 2, 80).astype(float), generator.random(80)
        calls = cross_fitted_calls(labels, scores, np.arange(80))
        found.append((calls[labels == 1].mean() + 1 - calls[labels == 0].mean()) / 2)
    assert np.mean(found) == pytest.approx(0.5, abs=0.02)


def _told(confidences: np.ndarray) -> SubjectConfidences:
    num = confidences.shape[0]
    losses = np.where(np.isnan(confidences), np.nan, np.log1p(np.exp(-np.nan_to_num(confidences))))
    return SubjectConfidences(np.full(num, "a"), np.arange(num), confidences, losses)


def test_the_likelihood_ratio_sees_past_how_hard_subjects_are() -> None:
    generator = np.random.default_rng(1)
    num, shift = 2_000, 1.0
    hardness = generator.normal(0, 5, (num, 2))

    def model(members: np.ndarray) -> SubjectConfidences:
        own = hardness + shift * members[:, None] + generator.normal(0, 1, (num, 2))
        # The second question has no answer for every third subject.
        own[::3, 1] = np.nan
        return _told(own)

    is_member = generator.random(num) < 0.7
    has_learnt = drawn_members(range(num), 8, "test")
    target, shadows = model(is_member), [model(row) for row in has_learnt]
    by_ratio = likelihood_ratios(target, shadows, has_learnt)
    assert np.isfinite(by_ratio).all()
    assert roc_auc_score(is_member, by_ratio) > 0.75
    assert roc_auc_score(is_member, loss_scores(target)) < 0.65
    # Who was in which shadow is what it rests on.
    turned = likelihood_ratios(target, shadows, ~has_learnt)
    assert roc_auc_score(is_member, turned) < 0.25


def test_a_subject_of_whom_nothing_is_known_has_no_score() -> None:
    told = _told(np.array([[0.5], [np.nan], [1.0], [0.0]]))
    has_learnt = drawn_members(range(4), 4, 0)
    assert np.isnan(loss_scores(told)).tolist() == [False, True, False, False]
    ratios = likelihood_ratios(told, [told] * 4, has_learnt)
    assert np.isnan(ratios).tolist() == [False, True, False, False]


def test_few_members_or_others_tell_nothing() -> None:
    guesses = Guesses(np.arange(30.0), np.arange(30) < 26, np.arange(30))
    name = AttackName("federated", "finetuned", "loss")
    judged = judge_attack(name, guesses, None, min_cell=5, num_bootstraps=100)
    assert judged.num_members is None
    assert judged.auroc.value is None
    assert judged.curve == ()


def test_an_attack_that_knows_all_reaches_one_and_few_others_hide_small_rates() -> None:
    is_member = np.arange(700) < 100
    name = AttackName("federated", "finetuned", "loss")
    guesses = Guesses(is_member.astype(float), is_member, np.arange(700))
    bound = PrivacyBound(1.0, 1e-5)
    judged = judge_attack(name, guesses, bound, min_cell=5, num_bootstraps=100)
    assert judged.auroc.value == judged.balanced_accuracy.value == 1.0
    assert judged.tpr_at_1_percent.value == 1.0
    assert judged.tpr_at_0_1_percent.value is None
    assert "5,000 non-members" in (judged.tpr_at_0_1_percent.reason or "")
    assert judged.bound is not None
    assert judged.bound.auroc == bound.greatest_auroc < 1
    assert all(p.greatest_tpr == bound.greatest_tpr(p.fpr) for p in judged.curve)


def test_exposure_is_the_rank_among_references() -> None:
    losses = np.array([0.5, 2.5, 99.0, *np.arange(1.0, 8.0)])
    is_planted = np.arange(10) < 3
    assert exposures(losses, is_planted).tolist() == pytest.approx([3, math.log2(8 / 3), 0])
    generator = np.random.default_rng(2)
    drawn = generator.random(40_000)
    unlearnt = exposures(drawn, np.arange(drawn.size) < 20_000)
    assert unlearnt.mean() == pytest.approx(UNLEARNT_BITS, abs=0.03)


def test_means_are_each_subject_s_own() -> None:
    values = np.array([[1.0, np.nan], [3.0, np.nan], [5.0, 7.0]])
    subjects, means = subject_means(np.array([9, 9, 4]), values)
    assert subjects.tolist() == [4, 9]
    np.testing.assert_array_equal(means, [[5.0, 7.0], [2.0, np.nan]])


@pytest.mark.parametrize(("attack", "shadows"), [("best", 8), ("lira", 3), ("lira", 2)])
def test_a_plan_that_cannot_be_is_refused(attack: str, shadows: int) -> None:
    with pytest.raises(UsageError, match=r"--attack best|--shadows"):
        AttackPlan.named(attack, shadows)


@pytest.mark.parametrize("wrong", ["-1", "nan", "8,8"])
def test_targets_that_no_study_has_are_refused_before_any_work(wrong: str, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("fedehr-sim")
    command = [program, "attacks", "--out", tmp_path / "out", f"--epsilons={wrong}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert "--epsilons" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
