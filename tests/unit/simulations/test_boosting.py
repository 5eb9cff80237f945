"""Boosting on a bag of tokens: what it learns, what chooses, and when there is no model."""

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from fedehr_shared.meds.schema import TRAIN, TUNING
from fedehr_shared.metrics.binary import auroc
from fedehr_simulations.arms.boosting import fit_boosting

NUM_TOKENS, EITHER, OTHER = 30, 3, 7


def _rows(num: int, seed: int) -> tuple[Any, np.ndarray[Any, np.dtype[np.float64]]]:
    """Who holds exactly one of two tokens is positive: no linear model can tell."""
    counts = np.random.default_rng(seed).poisson(0.7, (num, NUM_TOKENS + 1)).astype(float)
    labels = ((counts[:, EITHER] > 0) != (counts[:, OTHER] > 0)).astype(float)
    return csr_matrix(counts), labels


def test_it_learns_what_no_sum_of_tokens_tells() -> None:
    train, tuning, held_out = _rows(800, 0), _rows(200, 1), _rows(400, 2)
    features = {TRAIN: train[0], TUNING: tuning[0]}
    model = fit_boosting(features, {TRAIN: train[1], TUNING: tuning[1]}, seed=0)
    scores = model.predict(held_out[0])
    assert auroc(held_out[1], scores, np.ones((1, 400)))[0] > 0.95


def test_the_tuning_split_chooses() -> None:
    train, tuning = _rows(300, 0), _rows(300, 1)
    features = {TRAIN: train[0], TUNING: tuning[0]}
    fair = fit_boosting(features, {TRAIN: train[1], TUNING: tuning[1]}, seed=0)
    crooked = fit_boosting(features, {TRAIN: train[1], TUNING: 1 - tuning[1]}, seed=0)
    once = np.ones((1, 300))
    told, other = (auroc(tuning[1], model.predict(tuning[0]), once)[0] for model in (fair, crooked))
    assert told > other


def test_without_both_outcomes_there_is_no_model() -> None:
    features, _ = _rows(20, 0)
    both = {TRAIN: features, TUNING: features}
    model = fit_boosting(both, {TRAIN: np.zeros(20), TUNING: np.ones(20)}, seed=0)
    assert np.isnan(model.predict(features)).all()


def test_unknown_labels_teach_nothing() -> None:
    train, tuning = _rows(200, 0), _rows(100, 1)
    hidden = np.concatenate([train[1], np.full(100, np.nan)])
    from scipy.sparse import vstack

    more = vstack([train[0], _rows(100, 5)[0]], format="csr")
    labels = {TRAIN: train[1], TUNING: tuning[1]}
    plain = fit_boosting({TRAIN: train[0], TUNING: tuning[0]}, labels, seed=0)
    padded = fit_boosting({TRAIN: more, TUNING: tuning[0]}, labels | {TRAIN: hidden}, seed=0)
    assert np.array_equal(plain.predict(tuning[0]), padded.predict(tuning[0]))
