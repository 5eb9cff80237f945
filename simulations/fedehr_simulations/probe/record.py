"""`ProbeRecord`: what a probe found, as in `probe.json`."""

from typing import Annotated, Literal

from pydantic import Field

from fedehr_simulations.kept_part import KeptPart
from fedehr_simulations.verdict.result import Count, Finite, Interval, Part, Share, Text

RECORD_FILE = "probe.json"


class CandidateResult(Part):
    """One encoding: a run's checkpoint with a way of pooling, seen on the tuning split alone."""

    run: Text
    checkpoint: Text
    pooling: Text
    tuning: dict[str, Interval]
    """AUROC by task of a probe with all labels of the train split."""
    tuning_mean: Interval
    is_tied: bool
    """Not told apart from the chosen one by its paired interval."""
    masked_loss: Finite | None
    """Nats a hidden event of the held-out subjects, mean over sites. Nothing is chosen by it."""


class Worth(Part):
    """AUROC on the held-out subjects of all sites, with the same labels for all three."""

    task: Text
    num_labels: Count | None
    """Labels that each probe saw; null: all of the train split."""
    num_draws: Annotated[int, Field(ge=1)]
    """Draws of these labels, whose mean AUROC is told."""
    trained: Interval
    untrained: Interval
    """The same encoder with the first weights of its study's seed."""
    bag: Interval
    """Logistic regression on a bag of the same tokens."""
    over_untrained: Interval
    over_bag: Interval


class Neighborhood(Part):
    """How often the nearest training examples of held-out ones share their outcome."""

    task: Text
    positive_share: Share | None
    """Among the training examples that neighbors are taken from."""
    agreement: Interval
    beyond_chance: Interval
    """Minus what neighbors picked by lot would give."""
    of_positives: Share | None
    """Share of positives among the neighbors of positives."""
    of_negatives: Share | None
    untrained_beyond_chance: Interval


class SitesTold(Part):
    """How well logistic regression names the site of a held-out encoding."""

    sites: tuple[Text, ...]
    auroc: Interval
    """Each site against the rest, the mean over sites; 0.5 by chance."""
    accuracy: Interval
    chance: Share | None
    """Accuracy of always naming the largest site."""
    untrained_auroc: Interval


class ProbeRecord(KeptPart):
    """A whole probe."""

    format: Literal[1] = 1
    sites: tuple[Text, ...]
    tasks: tuple[Text, ...]
    left_out: tuple[Text, ...]
    """Tasks of which a probe says nothing: they ask no question of yes or no."""
    min_cell: Count
    num_neighbors: Count
    candidates: tuple[CandidateResult, ...]
    chosen: Count
    """The place of the candidate that all that follows is about."""
    reason: Text | None = None
    """Why nothing could be chosen by, where the first candidate stands."""
    worth: tuple[Worth, ...]
    neighborhoods: tuple[Neighborhood, ...]
    sites_told: SitesTold
    in_words: tuple[Text, ...]

    @property
    def chosen_candidate(self) -> CandidateResult:
        """The one that was chosen."""
        return self.candidates[self.chosen]
