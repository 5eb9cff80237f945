"""`site_separability`: can a logistic regression tell the site from an encoding?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.schema import HELD_OUT, SPLITS, TRAIN, TUNING
from fedehr_simulations.probe.encodings import Encodings
from fedehr_simulations.probe.neighbors import MAX_TRAIN, sampled
from fedehr_simulations.probe.replicated import (
    Replicated,
    mean_of,
    replicated_auroc,
    subject_weights,
)

MAX_SITES = 20
"""The largest."""
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths of the squared penalty (scikit-learn's C), strongest first."""
_MAX_ITERATIONS = 5_000


@dataclass(frozen=True)
class Separability:
    """How well sites are told apart on held-out subjects.

    Attributes:
        sites: those that were compared.
        auroc: of each site against the rest, the mean over sites; 0.5 by chance.
        accuracy: share of examples whose site is named.
        chance: the same where the largest site is always named.
    """

    sites: tuple[str, ...]
    auroc: Replicated
    accuracy: Replicated
    chance: float


def site_separability(
    by_site: Mapping[str, Mapping[str, Encodings]], min_cell: int, num_bootstraps: int
) -> Separability | None:
    """Fitted on train, the penalty chosen on tuning, scored on held-out subjects.

    Args:
        by_site: encodings by site and split.
        min_cell: sites with fewer examples in train or held-out are left out.
        num_bootstraps: replicates over subjects.

    Returns:
        None where fewer than two sites are left.
    """
    sites = _compared(by_site, min_cell)
    if len(sites) < 2:
        return None
    vectors = {s: np.concatenate([by_site[n][s].vectors for n in sites]) for s in SPLITS}
    owners = {
        s: np.repeat(np.arange(len(sites)), [len(by_site[n][s].vectors) for n in sites])
        for s in SPLITS
    }
    rows = sampled(owners[TRAIN].size, MAX_TRAIN, "sites")
    vectors[TRAIN], owners[TRAIN] = vectors[TRAIN][rows], owners[TRAIN][rows]
    scores = _probabilities(vectors, owners)
    ids = np.concatenate([by_site[name][HELD_OUT].subject_ids for name in sites])
    _, subjects = np.unique(ids, return_inverse=True)
    weights = subject_weights(int(subjects.max()) + 1, num_bootstraps, "sites")[:, subjects]
    each = [
        replicated_auroc((owners[HELD_OUT] == number).astype(np.float64), [own], weights)
        for number, own in enumerate(scores)
    ]
    hits = (scores.argmax(axis=0) == owners[HELD_OUT]).astype(np.float64)
    largest = np.bincount(owners[TRAIN]).argmax()
    return Separability(
        sites,
        mean_of(each),
        Replicated(float(hits.mean()), np.asarray(weights @ hits / weights.sum(axis=1))),
        float((owners[HELD_OUT] == largest).mean()),
    )


def _compared(by_site: Mapping[str, Mapping[str, Encodings]], min_cell: int) -> tuple[str, ...]:
    enough = [
        name
        for name, own in by_site.items()
        if min(len(own[split].vectors) for split in (TRAIN, HELD_OUT)) >= min_cell
    ]
    by_size = sorted(enough, key=lambda name: (-len(by_site[name][TRAIN].vectors), name))
    return tuple(sorted(by_size[:MAX_SITES]))


def _probabilities(
    vectors: Mapping[str, NDArray[np.float64]], owners: Mapping[str, NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Of each site, for the held-out examples: `[sites, examples]`.

    One multinomial regression; the penalty that names most sites of the tuning split stays.
    """
    from sklearn.linear_model import LogisticRegression

    mean, deviation = vectors[TRAIN].mean(axis=0), vectors[TRAIN].std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    scaled = {split: (own - mean) / deviation for split, own in vectors.items()}
    best: Any = None
    most = -1.0
    for penalty in PENALTIES:
        fitted = LogisticRegression(C=penalty, max_iter=_MAX_ITERATIONS)
        fitted.fit(scaled[TRAIN], owners[TRAIN])
        hits = _share_named(fitted, scaled[TUNING], owners[TUNING])
        if hits > most:
            best, most = fitted, hits
    return np.asarray(best.predict_proba(scaled[HELD_OUT])).T


def _share_named(fitted: Any, vectors: NDArray[np.float64], owners: NDArray[np.int64]) -> float:
    """0 without any, so that the strongest penalty stands."""
    return float((fitted.predict(vectors) == owners).mean()) if owners.size else 0.0
