"""What labels of other sites are worth: the federation's model against each site's own.

Both begin from what all sites pre-trained. A site's own model learns from that site's part of the
draw alone; either is scored on the site's held-out subjects.
"""

from collections.abc import Sequence

import numpy as np

from fedehr_simulations.efficiency.arm_result import AT, FEDERATION, ArmResult
from fedehr_simulations.efficiency.candidates import OWN_LABELS, PRETRAINED
from fedehr_simulations.tuning_trials.replicates import Draws, Replicates, interval_of
from fedehr_simulations.verdict.result import Count, Interval, Part, Text

EVERY_SITE_ALIKE = ""
"""In place of a site's name: the mean over sites, in which each counts the same."""
_PERCENT = 100.0


class OwnGain(Part):
    """The federation's model less the site's own, on the same held-out subjects: paired."""

    task: Text
    num_labels: Count | None
    """Of the federation; null: all."""
    site: str
    """Empty: the mean over the sites that are told."""
    federated: Interval
    own: Interval
    auroc_points: Interval


def own_gains(results: Sequence[ArmResult], *, min_cell: int, num: int) -> list[OwnGain]:
    """By number of labels, task and site; then the mean over sites.

    A site with fewer than `min_cell` held-out positives or negatives of a task is left out of it.

    Args:
        results: of all arms.
        min_cell: the study's.
        num: bootstrap replicates over subjects and seeds.
    """
    gains = []
    owned = [one for one in results if one.figures.arm == OWN_LABELS]
    for num_labels in dict.fromkeys(one.figures.num_labels for one in owned):
        own = [one for one in owned if one.figures.num_labels == num_labels]
        theirs = [
            one
            for one in results
            if (one.figures.arm, one.figures.num_labels) == (PRETRAINED, num_labels)
        ]
        gains += _of_number(num_labels, own, theirs, min_cell, num)
    return gains


def _of_number(
    num_labels: int | None,
    owned: Sequence[ArmResult],
    federated: Sequence[ArmResult],
    min_cell: int,
    num: int,
) -> list[OwnGain]:
    gains: list[OwnGain] = []
    by_task: dict[str, list[tuple[Draws, Draws]]] = {}
    for site in dict.fromkeys(one.figures.site for one in owned):
        ours = [one.scores[f"{AT}{site}"] for one in federated]
        own = [one.scores[FEDERATION] for one in owned if one.figures.site == site]
        replicates = Replicates.of(own[0], len(own), num)
        for view, task in enumerate(own[0].views):
            if not own[0].is_told(view, min_cell):
                continue
            draws = tuple(replicates.metric("auroc", view, scores) for scores in (ours, own))
            by_task.setdefault(task, []).append((draws[0], draws[1]))
            gains.append(_gain(task, num_labels, site, *draws))
    for task, sites in by_task.items():
        means = (np.mean([one[side] for one in sites], axis=0) for side in (0, 1))
        gains.append(_gain(task, num_labels, EVERY_SITE_ALIKE, *means))
    return gains


def _gain(task: str, num_labels: int | None, site: str, ours: Draws, own: Draws) -> OwnGain:
    return OwnGain(
        task=task,
        num_labels=num_labels,
        site=site,
        federated=interval_of(ours),
        own=interval_of(own),
        auroc_points=interval_of(_PERCENT * (ours - own)),
    )
