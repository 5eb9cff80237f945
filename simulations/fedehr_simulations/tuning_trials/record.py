"""`TuningRecord`: what all trials came to, and the file that keeps it."""

from typing import Any, Literal

from fedehr_simulations.kept_part import KeptPart
from fedehr_simulations.tuning_trials.exchanged import Exchanged
from fedehr_simulations.verdict.machine import Machine
from fedehr_simulations.verdict.result import Count, Finite, Interval, Part, Text
from fedehr_simulations.verdict.verdict import SiteSummary, StudyName

Settings = dict[str, Any]


class Noise(Part):
    """What was done to the sites' updates."""

    multiplier: Finite
    clip_norm: Finite


class CandidateResult(Part):
    """One point of a variant's grid."""

    settings: Settings
    tuning_scores: tuple[Finite | None, ...]
    """Mean AUROC of the tuning split, one a seed that was tried; null where the run failed."""
    failures: tuple[Text, ...] = ()


class TaskScores(Part):
    """A yes-or-no question on the held-out subjects of all sites, with intervals over subjects
    and seeds."""

    auroc: Interval
    auprc: Interval
    difference: Interval
    """Of the AUROC to the first variant's, paired."""


class Share(Part):
    """The mean AUROC over tasks as a part of the first variant's."""

    of_auroc: Interval
    of_skill: Interval
    """Of what is above one half."""


class VariantResult(Part):
    """One way to fine-tune."""

    name: Text
    changes: Settings
    noise: Noise | None
    candidates: tuple[CandidateResult, ...]
    chosen: Settings
    """What the tuning split chose."""
    seeds: tuple[Count, ...]
    scores: dict[str, TaskScores]
    share: Share | None
    """Null where a figure is withheld."""
    exchanged: Exchanged
    aggregation_error: Finite | None
    cpu_seconds: Finite


class VariantFailure(Part):
    """A variant, or one seed of it, without figures."""

    variant: Text
    reason: Text


class TuningRecord(KeptPart):
    """What the variants of a study came to."""

    format: Literal[1] = 1
    study: StudyName
    machine: Machine
    versions: dict[str, Text]
    commits: tuple[Text, ...]
    min_cell: Count
    sites: tuple[SiteSummary, ...]
    reference: Text
    """The first variant."""
    variants: tuple[VariantResult, ...]
    failures: tuple[VariantFailure, ...]
