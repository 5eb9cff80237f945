"""`site_differences`: the federated arm against a model of each site's own, site by site."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.metrics.binary import METRICS as FUNCTIONS
from fedehr_simulations.outcome.scoring import Rules, TaskData
from fedehr_simulations.verdict.result import METRICS, Interval, Metric
from fedehr_simulations.verdict.verdict import Comparison

MEAN_OF_SITES = "(mean of sites)"
_CHUNK = 250


def site_differences(
    arms: tuple[str, str],
    ours: TaskData,
    theirs: TaskData,
    site_names: Sequence[str],
    rules: Rules,
) -> list[Comparison]:
    """One line a site and metric, and one for the mean in which every site counts the same.

    Args:
        arms: the names of `ours` and `theirs`.
        ours: predictions of one arm.
        theirs: of the other, on the same rows.
        site_names: all sites; those with too few positives or negatives are withheld, and left
            out of the mean.
        rules: what may be told.
    """
    found = []
    for metric in METRICS:
        draws: dict[str, NDArray[np.float64]] = {}
        for site in site_names:
            own, other = (data.at(data.sites == site) for data in (ours, theirs))
            if own.is_told(rules.min_cell):
                weights = own.weights(site, rules.num_bootstraps)
                draws[site] = _draws(metric, own, weights) - _draws(metric, other, weights)
        by_site = {
            site: _interval(draws[site]) if site in draws else Interval.withheld(rules.reason)
            for site in site_names
        }
        if draws:
            by_site[MEAN_OF_SITES] = _interval(np.mean(list(draws.values()), axis=0))
        found += [
            Comparison(
                task=ours.task,
                metric=metric,
                arm=arms[0],
                reference=arms[1],
                site=site,
                difference=difference,
                num_seeds=len(ours.probabilities),
            )
            for site, difference in by_site.items()
        ]
    return found


def _draws(metric: Metric, data: TaskData, weights: NDArray[np.int16]) -> NDArray[np.float64]:
    """The mean over seeds: first the figure itself, then one a replicate. `[1 + replicates]`."""
    once = np.concatenate([np.ones((1, data.labels.size)), weights])
    chunks = [once[begin : begin + _CHUNK] for begin in range(0, len(once), _CHUNK)]
    by_seed = [
        np.concatenate([FUNCTIONS[metric](data.labels, seed, chunk) for chunk in chunks])
        for seed in data.probabilities
    ]
    return np.asarray(np.mean(by_seed, axis=0))


def _interval(draws: NDArray[np.float64]) -> Interval:
    """A replicate without both outcomes says nothing."""
    low, high = np.nanpercentile(draws[1:], [2.5, 97.5])
    return Interval(value=float(draws[0]), low=float(low), high=float(high))
