"""Nearest neighbors against scikit-learn's own, with ties; agreement where it is planted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fedehr_simulations.probe.linear_probe import LabelledVectors
from fedehr_simulations.probe.neighbors import agreement_of, neighbor_shares, sampled
from fedehr_simulations.probe.replicated import subject_weights


@settings(max_examples=40, deadline=None)
@given(
    num=st.integers(3, 60),
    num_queries=st.integers(1, 30),
    hidden=st.integers(1, 12),
    num_neighbors=st.integers(1, 12),
    seed=st.integers(0, 1_000),
)
def test_shares_are_those_of_scikit_learn(
    num: int, num_queries: int, hidden: int, num_neighbors: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    stretch = np.logspace(-2, 2, hidden)
    vectors = generator.normal(size=(num, hidden)) * stretch + 3.0
    queries = generator.normal(size=(num_queries, hidden)) * stretch + 3.0
    outcomes = np.resize([0.0, 1.0], num)
    ours = neighbor_shares(LabelledVectors(vectors, outcomes), queries, num_neighbors)
    own = KNeighborsClassifier(min(num_neighbors, num))
    theirs = make_pipeline(StandardScaler(), own).fit(vectors, outcomes).predict_proba(queries)
    # Of two that are as good as equally far, either may be a neighbor: half of one's share.
    differ = np.abs(ours - theirs[:, 1]) > 1e-9
    assert np.count_nonzero(differ) <= max(1, num_queries // 10)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1_000), num_neighbors=st.integers(1, 20))
def test_the_order_of_rows_decides_nothing_where_many_are_alike(
    seed: int, num_neighbors: int
) -> None:
    generator = np.random.default_rng(seed)
    # Few values: most distances are shared by several.
    vectors = generator.integers(0, 3, size=(50, 2)).astype(np.float64)
    outcomes = (generator.random(50) < 0.4).astype(np.float64)
    queries = generator.integers(0, 3, size=(20, 2)).astype(np.float64)
    shuffled = generator.permutation(50)
    first = neighbor_shares(LabelledVectors(vectors, outcomes), queries, num_neighbors)
    second = neighbor_shares(
        LabelledVectors(vectors[shuffled], outcomes[shuffled]), queries, num_neighbors
    )
    np.testing.assert_allclose(first, second, atol=1e-9)


def test_all_alike_share_the_prevalence() -> None:
    outcomes = np.asarray([1.0, 0.0, 0.0, 0.0, 1.0])
    train = LabelledVectors(np.ones((5, 3)), outcomes)
    np.testing.assert_allclose(neighbor_shares(train, np.ones((4, 3)), 2), [0.4] * 4)


def test_parts_of_the_queries_are_not_told_from_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = np.random.default_rng(3)
    train = LabelledVectors(generator.normal(size=(40, 4)), np.resize([0.0, 1.0], 40))
    queries = generator.normal(size=(23, 4))
    whole = neighbor_shares(train, queries, 5)
    monkeypatch.setattr("fedehr_simulations.probe.neighbors._CELLS", 100)
    np.testing.assert_allclose(neighbor_shares(train, queries, 5), whole)


def _planted(
    num: int, apart: float, prevalence: float, seed: int
) -> tuple[LabelledVectors, np.ndarray]:
    generator = np.random.default_rng([seed, num])
    outcomes = (generator.random(num) < prevalence).astype(np.float64)
    vectors = generator.normal(size=(num, 6)) + apart * outcomes[:, None]
    return LabelledVectors(vectors, outcomes), outcomes


@pytest.mark.parametrize("prevalence", [0.1, 0.5])
def test_separate_classes_agree_and_a_coin_agrees_as_chance_does(prevalence: float) -> None:
    weights = subject_weights(400, 300, "test")
    for apart, is_found in ((6.0, True), (0.0, False)):
        train, _ = _planted(800, apart, prevalence, 0)
        held_out, labels = _planted(400, apart, prevalence, 1)
        shares = neighbor_shares(train, held_out.vectors, 10)
        told = agreement_of(shares, labels, float(train.outcomes.mean()), weights)
        low, high = np.percentile(told.beyond_chance.replicates, [2.5, 97.5])
        if is_found:
            assert told.agreement.value > 0.99
            assert low > 0
            assert told.of_positives > 0.97
            assert told.of_negatives < 0.03
        else:
            # Two classes that lie alike: however rare one is, there is nothing beyond chance.
            assert low < 0.01
            assert high > -0.01
            assert abs(told.beyond_chance.value) < 0.03
        shares_by_lot = prevalence**2 + (1 - prevalence) ** 2
        assert told.chance == pytest.approx(shares_by_lot, abs=0.06)


def test_examples_beyond_the_limit_are_left_out_by_lot() -> None:
    assert sampled(5, 10, "train").tolist() == [0, 1, 2, 3, 4]
    picked = sampled(1_000, 100, "train")
    assert np.unique(picked).size == 100
    assert picked.max() > 900
    assert (np.diff(picked) > 0).all()
    assert picked.tolist() == sampled(1_000, 100, "train").tolist()
