"""`PrivacyRecord`: what all arms came to at one federation, and the file that keeps it."""

from typing import Literal

from fedehr_simulations.kept_part import KeptPart
from fedehr_simulations.privacy_trials.ways import Scope
from fedehr_simulations.tuning_trials.record import (
    CandidateResult,
    Settings,
    TaskScores,
    VariantFailure,
)
from fedehr_simulations.verdict.machine import Machine
from fedehr_simulations.verdict.result import Count, Finite, Interval, Part, Text
from fedehr_simulations.verdict.verdict import SiteSummary, StudyName


class Steps(Part):
    """Noisy steps that are alike."""

    noise_multiplier: Finite
    sample_rate: Finite
    num_steps: Count


class ArmResult(Part):
    """One way to fine-tune at one epsilon."""

    way: Text
    scope: Scope
    target_epsilon: Finite | None
    """Null without noise."""
    subject_epsilon: Finite | None
    """Of both phases together, by RDP: a subject of one site, added or removed."""
    history: tuple[Steps, ...]
    changes: Settings
    candidates: tuple[CandidateResult, ...]
    chosen: Settings
    """What the tuning split chose."""
    tuning_score: Finite | None
    """Mean AUROC of the tuning split, over tasks and seeds."""
    seeds: tuple[Count, ...]
    scores: dict[str, TaskScores]
    kept_of_own: Interval
    """Share of the skill, AUROC less one half, of the same way without noise."""
    kept_of_best: Interval
    """Of the best way without noise."""
    cpu_seconds: Finite


class PrivacyRecord(KeptPart):
    """What the ways of a file keep of their skill."""

    format: Literal[1] = 1
    study: StudyName
    machine: Machine
    versions: dict[str, Text]
    commits: tuple[Text, ...]
    min_cell: Count
    nominal_subjects: Count
    delta: Finite
    relation: Text
    sites: tuple[SiteSummary, ...]
    best: Text
    """The way that has the highest tuning score without noise."""
    arms: tuple[ArmResult, ...]
    failures: tuple[VariantFailure, ...]
