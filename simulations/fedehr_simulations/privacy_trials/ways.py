"""`Arm`: one way to fine-tune at one epsilon, from a file of ways.

    [variants.head]
    "finetuning.tuning" = "probe"
    plain."finetuning.learning_rate" = 0.03
    private."finetuning.learning_rate" = 0.1
    private."privacy.finetuning.sample_rate" = 0.2

What stands below `plain` counts without noise alone, what is below `private` with noise alone;
each may have a `grid`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fedehr_shared.config.privacy import PrivacyConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError, UsageError
from fedehr_shared.privacy.noisy_steps import NoisySteps, merged
from fedehr_shared.privacy.rdp import subject_epsilon
from fedehr_shared.privacy.study_cost import StudyCost
from fedehr_simulations.privacy_trials.phases import noisy_study, of_both_phases, without_noise
from fedehr_simulations.tuning_trials.variants import (
    VARIED,
    Candidate,
    TuningVariant,
    tuning_variant,
)
from fedehr_simulations.variant_tables import Changes, place_of, read_variant_tables

Scope = Literal["none", "finetuning", "both"]
"""Which phases have noise."""

_VARIED = (*VARIED, "privacy", "pretraining")
_PLAIN, _PRIVATE = "plain.", "private."


@dataclass(frozen=True)
class Arm:
    """One way to fine-tune, with or without noise.

    Attributes:
        way: its name in the file.
        scope: the phases with noise.
        target: the epsilon that the noise is for; None: no noise.
        variant: its candidates.
    """

    way: str
    scope: Scope
    target: float | None
    variant: TuningVariant

    def history(self, place: int) -> tuple[NoisySteps, ...]:
        """What a candidate's phases with noise are charged together."""
        candidate = self.variant.candidates[place]
        studies = {"finetuning": candidate.study, "pretraining": candidate.pretraining}
        return merged(
            steps
            for phase, study in studies.items()
            if study is not None
            for steps in StudyCost.of(study).history(phase)
        )

    def subject_epsilon(self, place: int) -> float | None:
        """Of that history, by RDP; None without noise."""
        if self.target is None:
            return None
        delta = self.variant.candidates[place].study.privacy.target_delta
        return subject_epsilon(self.history(place), delta)


def read_arms(
    study: StudyConfig, path: Path, epsilons: Sequence[float], scopes: Sequence[Scope]
) -> tuple[Arm, ...]:
    """Every way of a file without noise, and then at each epsilon.

    Args:
        study: with `[privacy]`, whose target the epsilons take the place of.
        path: the file of ways.
        epsilons: targets, in the order of the table.
        scopes: which phases have noise, one after the other.

    Raises:
        ConfigError: the file is missing or wrong, or the study has no noise of the sites.
        UsageError: an epsilon is not above 0.
    """
    if study.privacy.mechanism != "local":
        raise ConfigError(
            "the study's [privacy] mechanism is not 'local': there is no noise to vary."
        )
    if any(not epsilon > 0 for epsilon in epsilons):
        raise UsageError("--epsilons lists numbers above 0, as 8,3,1.")
    tables = read_variant_tables(path)
    noises = [_NO_NOISE, *(_Noise(scope, target) for scope in scopes for target in epsilons)]
    return tuple(
        _arm(study, _Table(name, table, place_of(path, name)), noise)
        for noise in noises
        for name, table in tables.items()
    )


@dataclass(frozen=True)
class _Noise:
    scope: Scope
    target: float | None


_NO_NOISE = _Noise("none", None)


@dataclass(frozen=True)
class _Table:
    """A table of the file, and how a message names it."""

    name: str
    changes: Changes
    where: str


def _arm(study: StudyConfig, table: _Table, noise: _Noise) -> Arm:
    plain = without_noise(study)
    if noise.target is None:
        own, varied, name = _own(table.changes, _PLAIN, _PRIVATE), plain, table.name
    else:
        own, name = _own(table.changes, _PRIVATE, _PLAIN), _name(table.name, noise)
        varied = study.model_copy(update={"privacy": _at(study.privacy, noise)})
    variant = tuning_variant(varied, name, own, table.where, _VARIED)
    candidates = tuple(_split(plain, one, noise.scope) for one in variant.candidates)
    whole = TuningVariant(name, variant.changes, None, candidates)
    return Arm(table.name, noise.scope, noise.target, whole)


def _name(way: str, noise: _Noise) -> str:
    return f"{way}, epsilon {noise.target:g}, noise in {noise.scope}"


def _own(table: Changes, prefix: str, other: str) -> Changes:
    """What counts here; the more special key wins."""
    common = {key: value for key, value in table.items() if not key.startswith((prefix, other))}
    own = {
        key.removeprefix(prefix): value for key, value in table.items() if key.startswith(prefix)
    }
    return {**common, **own}


def _at(privacy: PrivacyConfig, noise: _Noise) -> PrivacyConfig:
    phases = ("finetuning",) if noise.scope == "finetuning" else ("pretraining", "finetuning")
    changed: dict[str, Any] = {
        "target_epsilon": noise.target,
        "noise_multiplier": 0.0,
        "phases": phases,
    }
    return privacy.model_copy(update=changed)


def _split(plain: StudyConfig, candidate: Candidate, scope: Scope) -> Candidate:
    """The pre-training as a study of its own, which other candidates may share."""
    if scope != "both":
        pretraining = plain.model_copy(update={"pretraining": candidate.study.pretraining})
        return Candidate(candidate.settings, candidate.study, pretraining)
    multiplier = of_both_phases(candidate.study)
    finetuning = noisy_study(candidate.study, candidate.study, "finetuning", multiplier)
    pretraining = noisy_study(plain, candidate.study, "pretraining", multiplier)
    pretraining = pretraining.model_copy(update={"pretraining": candidate.study.pretraining})
    return Candidate(candidate.settings, finetuning, pretraining)
