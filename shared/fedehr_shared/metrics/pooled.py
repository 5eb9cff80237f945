"""The AUROC of all sites' scores, as far as their histograms tell it."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedehr_shared.metrics.bound import Bound, mean_bound
from fedehr_shared.metrics.rank_bound import rank_bound
from fedehr_shared.metrics.score_histogram import ScoreHistogram


@dataclass(frozen=True)
class SiteScores:
    """What one site tells of its scores.

    Attributes:
        positives: their histogram.
        negatives: theirs.
        auroc: the site's own, as exactly as it was told; None where it was not.
        auprc: likewise.
    """

    positives: ScoreHistogram
    negatives: ScoreHistogram
    auroc: Bound | None = None
    auprc: Bound | None = None

    @property
    def own_auroc(self) -> Bound:
        """The AUROC within the site."""
        found = rank_bound(self.positives, self.negatives)
        return found if self.auroc is None else self.auroc

    @property
    def num(self) -> Bound:
        """How many subjects it may have."""
        ours = self.positives, self.negatives
        return Bound(sum(one.num for one in ours), sum(one.most for one in ours))


def pooled_auroc(sites: Sequence[SiteScores]) -> Bound | None:
    """A range that holds the AUROC of all sites' scores together, whatever they are.

    Pairs within a site are those of its own AUROC, pairs between sites those of `rank_bound`.
    A site's weight is its number of positives, then of negatives, of which as many values as
    `min_cell` are possible; the range holds for all of them.

    Returns:
        None when there is no site.
    """
    if not sites:
        return None
    positives = [Bound(site.positives.num, site.positives.most) for site in sites]
    negatives = [Bound(site.negatives.num, site.negatives.most) for site in sites]
    pairs = [
        [
            one.own_auroc if one is other else rank_bound(one.positives, other.negatives)
            for other in sites
        ]
        for one in sites
    ]
    by_site = [mean_bound(row, negatives) for row in pairs]
    by_other = [mean_bound(column, positives) for column in zip(*pairs, strict=True)]
    found = mean_bound(by_site, positives).both(mean_bound(by_other, negatives))
    return found.within(0.0, 1.0)
