"""`StudyCost`: what a study's noisy training costs each unit, before it begins."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from fedehr_shared.config.privacy import PrivatePhase
from fedehr_shared.privacy.adaptive_clipping import gradient_noise_multiplier
from fedehr_shared.privacy.calibration import noise_multiplier
from fedehr_shared.privacy.noisy_steps import NoisySteps, merged
from fedehr_shared.privacy.pld import EpsilonBounds, epsilon_bounds
from fedehr_shared.privacy.rdp import subject_epsilon

if TYPE_CHECKING:
    from fedehr_shared.config.study import StudyConfig

PHASES: tuple[PrivatePhase, ...] = ("pretraining", "finetuning")
"""In the order in which a study trains."""


@dataclass(frozen=True)
class StudyCost:
    """The account of one study, from its public numbers alone.

    The unit is a subject of one site (`local`) or a site (`central`); neighboring data sets
    differ by one unit, added or removed.

    Attributes:
        delta: the study's, for all of its noisy training.
        charged_multiplier: the noise multiplier that steps are accounted with; 0: no noise.
        noise_multiplier: the one that training adds to the sum of gradients, or of updates: more
            than is charged where the clipping norm adapts.
        rounds: by phase, its rounds; none where the phase has no noise.
        of_rounds: by phase, what one round is charged.
    """

    delta: float
    charged_multiplier: float
    noise_multiplier: float
    rounds: dict[PrivatePhase, int]
    of_rounds: dict[PrivatePhase, NoisySteps]

    @classmethod
    def of(cls, study: "StudyConfig") -> "StudyCost":
        """The cost of a study; without noise all of it is nothing.

        Raises:
            ConfigError: no noise keeps it within its target.
        """
        return _cost_of(study.to_json())

    def of_round(self, phase: str) -> NoisySteps:
        """What one round of a phase is charged; no steps where it has no noise."""
        return self.of_rounds.get(cast(PrivatePhase, phase), NoisySteps(0.0, 0.0, 0))

    def history(self, phase: str | None = None, rounds_done: int | None = None) -> list[NoisySteps]:
        """The charges of one phase, or of all.

        Args:
            phase: one alone; None: all.
            rounds_done: only so many rounds of each; None: all of them.
        """
        asked = [name for name in self.rounds if phase in {None, name}]
        counts = {name: self.rounds[name] if rounds_done is None else rounds_done for name in asked}
        return list(merged(_times(self.of_rounds[name], counts[name]) for name in asked))

    def history_until(self, phase: str, round_number: int) -> list[NoisySteps]:
        """The charges of all phases from the study's first to the end of a round."""
        return list(merged(self._until(phase, round_number)))

    @property
    def num_steps(self) -> int:
        """Noisy steps of the whole training."""
        return sum(steps.num_steps for steps in self.history())

    @property
    def subject_epsilon(self) -> float:
        """Of the whole training, by RDP."""
        return subject_epsilon(self.history(), self.delta)

    @property
    def bounds(self) -> EpsilonBounds:
        """Of the whole training, by privacy loss distributions; it takes seconds."""
        return epsilon_bounds(self.history(), self.delta)

    def _until(self, phase: str, round_number: int) -> Iterator[NoisySteps]:
        for name, num_rounds in self.rounds.items():
            if name == phase:
                yield _times(self.of_rounds[name], round_number)
                return
            if PHASES.index(name) < PHASES.index(cast(PrivatePhase, phase)):
                yield _times(self.of_rounds[name], num_rounds)


def _times(steps: NoisySteps, number: int) -> NoisySteps:
    return NoisySteps(steps.noise_multiplier, steps.sample_rate, number * steps.num_steps)


@lru_cache(maxsize=256)
def _cost_of(study_json: str) -> StudyCost:
    from fedehr_shared.config.study import StudyConfig

    study = StudyConfig.from_json(study_json)
    privacy = study.privacy
    plan = _plan(study)
    if not plan:
        return StudyCost(privacy.target_delta, 0.0, 0.0, {}, {})
    charged = privacy.noise_multiplier or noise_multiplier(
        privacy.target_epsilon,
        privacy.target_delta,
        [(rate, rounds * steps) for rate, rounds, steps in plan.values()],
    )
    gradient = charged
    if privacy.clipping_quantile:
        gradient = gradient_noise_multiplier(charged, privacy.clipping_count_noise)
    return StudyCost(
        privacy.target_delta,
        charged,
        gradient,
        {phase: rounds for phase, (_, rounds, _) in plan.items()},
        {phase: NoisySteps(charged, rate, steps) for phase, (rate, _, steps) in plan.items()},
    )


def _plan(study: "StudyConfig") -> dict[PrivatePhase, tuple[float, int, int]]:
    """By phase with noise, its rate, its rounds, and the noisy releases of a round."""
    configs = {"pretraining": study.pretraining, "finetuning": study.finetuning}
    found: dict[PrivatePhase, tuple[float, int, int]] = {}
    for phase in PHASES:
        config = configs[phase]
        if not config.rounds or study.privacy.mechanism == "none":
            continue
        if study.privacy.mechanism == "central":
            found[phase] = (1.0, config.rounds, 1)
        elif study.privacy.is_private(phase):
            rate = study.privacy.of_phase(phase).sample_rate
            found[phase] = (rate, config.rounds, config.steps_per_round)
    return found
