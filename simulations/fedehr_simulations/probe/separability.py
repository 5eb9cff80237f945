"""`site_separability`: can a logistic regression tell the site from an encoding?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.schema import HELD_OUT, SPLITS, TRAIN, TUNING
from fedehr_simulations.probe.encodings import Encodings
from fedehr_simulations.probe.linear_probe import LabelledVectors, fit_probe
from fedehr_simulations.probe.neighbors import MAX_TRAIN, sampled
from fedehr_simulations.probe.replicated import (
    Replicated,
    mean_of,
    replicated_auroc,
    subject_weights,
)

MAX_SITES = 20
"""The largest; each has a regression of its own."""


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
    """One regression a site against the rest, fitted on train, scored on held-out subjects.

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
    scores = np.stack([_scores(vectors, owners, number) for number in range(len(sites))])
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


def _scores(
    vectors: Mapping[str, NDArray[np.float64]], owners: Mapping[str, NDArray[np.int64]], number: int
) -> NDArray[np.float64]:
    """Log-odds of one site for the held-out examples. `[examples]`."""
    train, tuning = (
        LabelledVectors(vectors[split], (owners[split] == number).astype(np.float64))
        for split in (TRAIN, TUNING)
    )
    return fit_probe(train, tuning).score(vectors[HELD_OUT])
