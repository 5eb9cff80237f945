"""`probe_bags`: a bag of tokens, given the very labels that the probes are given.

The same tokens as the encoder could read, the age, and logistic regression: what anyone can
have without training a network. Whether or how often a token occurs, and the penalty, are
chosen on the tuning split, with as few labels there as the probes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.schema import HELD_OUT, SPLITS, TRAIN, TUNING
from fedehr_simulations.arms.bag_of_tokens import Bag
from fedehr_simulations.arms.logistic import fit_task
from fedehr_simulations.probe.label_draws import drawn_rows
from fedehr_simulations.probe.probing import ProbedTask, Question


@dataclass(frozen=True)
class BagFeatures:
    """Examples of one split as bags.

    Attributes:
        rows: `[examples, tokens + 1]`, sparse: counts, and the scaled age last.
        labels: `[examples, tasks]`: 0, 1 or NaN.
        subjects: `[examples]`, numbers of subjects from 0.
    """

    rows: Any
    labels: NDArray[np.float64]
    subjects: NDArray[np.int64]


def bag_features(
    sites: Sequence[Mapping[str, Bag]], labels: Mapping[str, NDArray[np.float64]]
) -> dict[str, BagFeatures]:
    """The sites' bags end to end, by split.

    Args:
        sites: each site's bags by split, in the order of the encodings.
        labels: by split `[examples, tasks]`.
    """
    ages = np.concatenate([site[TRAIN].ages for site in sites])
    known = ages[~np.isnan(ages)]
    mean = float(known.mean()) if known.size else 0.0
    deviation = (float(known.std()) if known.size else 0.0) or 1.0
    return {split: _features(sites, labels[split], split, mean, deviation) for split in SPLITS}


def probe_bags(
    features: Mapping[str, BagFeatures], question: Question, num_draws: int
) -> ProbedTask:
    """As `probe_question`, of bags: the same labels, draws and held-out examples."""
    column, num_labels, held_out = question.column, question.num_labels, features[HELD_OUT]
    known = drawn_rows(held_out.labels[:, column], None)
    scores = []
    for draw in range(1 if num_labels is None else num_draws):
        rows, labels = {}, {}
        for split in (TRAIN, TUNING):
            own = features[split].labels[:, column]
            drawn = drawn_rows(own, num_labels, split, question.task, draw)
            rows[split], labels[split] = features[split].rows[drawn], own[drawn]
        told = fit_task(rows, labels).predict(held_out.rows[known])
        # Without a model there is no order.
        scores.append(np.nan_to_num(told, nan=0.5))
    return ProbedTask(
        task=question.task,
        num_labels=num_labels,
        labels=held_out.labels[known, column],
        subjects=held_out.subjects[known],
        scores=tuple(scores),
    )


def _features(
    sites: Sequence[Mapping[str, Bag]],
    labels: NDArray[np.float64],
    split: str,
    mean: float,
    deviation: float,
) -> BagFeatures:
    """An unknown age becomes the mean."""
    from scipy.sparse import csr_matrix, hstack, vstack

    bags = [site[split] for site in sites]
    ages = np.concatenate([bag.ages for bag in bags])
    scaled = np.nan_to_num((ages - mean) / deviation, nan=0.0)
    counts = vstack([bag.counts for bag in bags], format="csr")
    ids = np.concatenate([bag.examples.subject_ids for bag in bags])
    _, subjects = np.unique(ids, return_inverse=True)
    rows = hstack([counts, csr_matrix(scaled[:, None])], format="csr")
    return BagFeatures(rows, labels, np.asarray(subjects, dtype=np.int64))
