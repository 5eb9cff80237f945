"""Sensitivity, specificity and positive predictive value at a threshold, from histograms.

A number at a threshold between two edges would split a bin, and with the bin's edges count
fewer than `min_cell` subjects. So sites tell no more than their histograms, and the numbers
come with the range that these leave open.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedehr_shared.metrics.bound import Bound, mean_bound
from fedehr_shared.metrics.pooled import SiteScores
from fedehr_shared.metrics.score_histogram import ScoreHistogram, places_of


@dataclass(frozen=True)
class AtThreshold:
    """What is known where probabilities from the threshold on count as a yes.

    Attributes:
        sensitivity: share of the positives that get a yes; None where fewer than `min_cell`
            positives surely get a yes, or a no.
        specificity: share of the negatives that get a no; None in the same way.
        ppv: share of positives among those with a yes; None where fewer than `min_cell`
            positives, or negatives, surely get a yes.
    """

    sensitivity: Bound | None
    specificity: Bound | None
    ppv: Bound | None


def at_threshold(sites: Sequence[SiteScores], threshold: float) -> AtThreshold:
    """Of all the sites' subjects together; of one site with that site alone.

    Args:
        sites: one or more.
        threshold: a probability.
    """
    positives, negatives = [site.positives for site in sites], [site.negatives for site in sites]
    yes, no = _Part.above(positives, threshold), _Part.above(negatives, threshold)
    sensitivity, fall_out = yes.share, no.share
    counted = [
        Bound(sum(p.num for p in ours), sum(p.most for p in ours))
        for ours in (positives, negatives)
    ]
    true = Bound(sensitivity.least * counted[0].least, sensitivity.greatest * counted[0].greatest)
    false = Bound(fall_out.least * counted[1].least, fall_out.greatest * counted[1].greatest)
    specificity = Bound(1 - fall_out.greatest, 1 - fall_out.least)
    return AtThreshold(
        sensitivity if yes.has_yes and yes.has_no else None,
        specificity if no.has_yes and no.has_no else None,
        Bound(
            true.least / (true.least + false.greatest),
            true.greatest / (true.greatest + false.least),
        )
        if yes.has_yes and no.has_yes
        else None,
    )


@dataclass(frozen=True)
class _Part:
    """Of one class: the share with a yes, and whether whole bins surely have a yes, or a no."""

    share: Bound
    has_yes: bool
    has_no: bool

    @classmethod
    def above(cls, told: Sequence[ScoreHistogram], threshold: float) -> "_Part":
        place = float(places_of(np.asarray([threshold]))[0])
        shares, surely = [], [False, False]
        for one in told:
            total = one.sizes.sum(axis=1)
            yes, no = one.lows >= place, one.highs <= place
            shares.append(
                Bound(
                    float((one.sizes @ yes / total).min()),
                    float(1 - (one.sizes @ no / total).min()),
                )
            )
            surely = [surely[0] or bool(yes.any()), surely[1] or bool(no.any())]
        weights = [Bound(one.num, one.most) for one in told]
        return cls(mean_bound(shares, weights).widened(1e-12).within(0.0, 1.0), *surely)
