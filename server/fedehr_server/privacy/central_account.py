"""`CentralAccount`: how often the coordinator may still release a noisy mean."""

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import BudgetError
from fedehr_shared.privacy.noisy_steps import NoisySteps
from fedehr_shared.privacy.rdp import subject_epsilon
from fedehr_shared.privacy.study_cost import StudyCost


class CentralAccount:
    """One run's releases of both phases: each is one Gaussian step without sampling."""

    def __init__(self, study: StudyConfig) -> None:
        """Nothing is spent yet.

        Raises:
            ConfigError: no noise keeps the study within its target.
        """
        self._cost = StudyCost.of(study)
        self._most = study.privacy.target_epsilon or self._cost.subject_epsilon
        self._num_released = 0

    def reserve(self, what: str) -> None:
        """Charge a release before its noise is drawn.

        Args:
            what: the release, for the error.

        Raises:
            BudgetError: it would pass the study's target; nothing was charged.
        """
        after = self._epsilon_of(self._num_released + 1)
        if after > self._most:
            raise BudgetError(
                f"{what} would bring the sites' epsilon from "
                f"{self._epsilon_of(self._num_released):.4g} to {after:.4g}, above the study's "
                f"{self._most:.4g} (delta {self._cost.delta:g}, one site added or removed). Start "
                "a study with a higher [privacy] target_epsilon, or with fewer rounds."
            )
        self._num_released += 1

    @property
    def history(self) -> list[NoisySteps]:
        """What was released."""
        return self._history_of(self._num_released)

    @property
    def noise_multiplier(self) -> float:
        """Of each release."""
        return self._cost.noise_multiplier

    def _epsilon_of(self, num_released: int) -> float:
        return subject_epsilon(self._history_of(num_released), self._cost.delta)

    def _history_of(self, num_released: int) -> list[NoisySteps]:
        return [NoisySteps(self._cost.noise_multiplier, 1.0, num_released)]
