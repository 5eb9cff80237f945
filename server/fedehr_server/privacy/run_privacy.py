"""`RunPrivacy`: what a run's training has cost each unit so far, for its record."""

from collections.abc import Mapping
from typing import Any

from fedehr_server.privacy.central_account import CentralAccount
from fedehr_server.privacy.central_mean import CentralMean
from fedehr_server.training_record import SiteRecord
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.privacy.noisy_steps import NoisySteps
from fedehr_shared.privacy.pld import epsilon_bounds
from fedehr_shared.privacy.rdp import subject_epsilon
from fedehr_shared.privacy.study_cost import StudyCost
from fedehr_shared.privacy.system_noise import NoiseSource, SystemNoise
from fedehr_shared.privacy.vocabulary_cost import VocabularyCost
from fedehr_shared.wire.work import WorkId

NEIGHBORS = "add_or_remove_one"
"""The relation of every epsilon: one unit (`unit`) more or less."""


class RunPrivacy:
    """Central noise where the study asks for it, and the account of either mechanism.

    For local noise it is reckoned from public numbers: what the answers that counted cost. A
    site's own ledger knows of rounds that never arrived as well, and decides.
    """

    def __init__(self, study: StudyConfig, noise: NoiseSource | None = None) -> None:
        """`noise` is for tests; a run's noise is the operating system's entropy."""
        self._study = study
        self._noise = SystemNoise() if noise is None else noise
        self._account: CentralAccount | None = None
        self._num_sites = 0

    def begin(self, num_sites: int) -> None:
        """Reckon what the study will cost, before any site is asked.

        Args:
            num_sites: the sites that joined the run.

        Raises:
            ConfigError: no noise keeps the study within its target.
        """
        StudyCost.of(self._study)
        self._num_sites = num_sites
        if self._study.privacy.mechanism == "central":
            self._account = CentralAccount(self._study)

    def open_round(self, work: WorkId) -> CentralMean | None:
        """Charge a round and begin its noisy mean; None where the coordinator adds no noise.

        Raises:
            BudgetError: the round would pass the study's target.
        """
        if self._account is None:
            return None
        self._account.reserve(f"round {work.round} of {work.phase}")
        return CentralMean(
            self._study.privacy.max_update_norm,
            self._account.noise_multiplier,
            self._num_sites,
            self._noise,
        )

    def epsilon_after(self, work: WorkId) -> dict[str, Any]:
        """What a unit that took part in every round so far has spent, by RDP, with all that the
        figure needs to mean something; empty: no noise was added."""
        if self._study.privacy.mechanism == "none":
            return {}
        cost = StudyCost.of(self._study)
        history = cost.history_until(work.phase, work.round)
        if not history:
            return {}
        name = f"{unit_of(self._study)}_epsilon"
        epsilon = subject_epsilon(history, cost.delta)
        return {name: epsilon, "delta": cost.delta, "neighbors": NEIGHBORS}

    def summary(self, training: Mapping[str, Mapping[str, SiteRecord]]) -> dict[str, Any]:
        """For `result.json`; empty where the study asks for no noise or has not begun.

        Args:
            training: by phase and site, what `TrainingRecord` says.
        """
        privacy = self._study.privacy
        if privacy.mechanism == "none" or not self._num_sites:
            return {}
        cost = StudyCost.of(self._study)
        return {
            "mechanism": privacy.mechanism,
            "unit": unit_of(self._study),
            "neighbors": NEIGHBORS,
            "delta": cost.delta,
            "target_epsilon": privacy.target_epsilon or None,
            "noise_multiplier": cost.noise_multiplier,
            "charged_multiplier": cost.charged_multiplier,
            "phases": list(cost.rounds),
            **self._spent(cost, training),
        }

    def _spent(
        self, cost: StudyCost, training: Mapping[str, Mapping[str, SiteRecord]]
    ) -> dict[str, Any]:
        if self._account is not None:
            history = self._account.history
            return {
                "num_sites": self._num_sites,
                "max_update_norm": self._study.privacy.max_update_norm,
                "num_rounds": sum(steps.num_steps for steps in history),
                **epsilons(history, cost.delta, "site_epsilon"),
            }
        sites = sorted({site for own in training.values() for site in own})
        return {"sites": {site: self._of_site(cost, training, site) for site in sites}}

    def _of_site(
        self, cost: StudyCost, training: Mapping[str, Mapping[str, SiteRecord]], site: str
    ) -> dict[str, Any]:
        num_rounds = {
            phase: int(training.get(phase, {}).get(site, {}).get("num_rounds", 0))
            for phase in cost.rounds
        }
        history = [
            steps for phase, number in num_rounds.items() for steps in cost.history(phase, number)
        ]
        found = {"num_rounds": num_rounds, **epsilons(history, cost.delta, "subject_epsilon")}
        vocabulary = VocabularyCost.of(self._study.vocabulary)
        if vocabulary is not None:
            found["with_vocabulary"] = with_vocabulary(history, cost.delta, vocabulary)
        return found


def unit_of(study: StudyConfig) -> str:
    """Whose epsilon it is."""
    return "site" if study.privacy.mechanism == "central" else "subject"


def epsilons(history: list[NoisySteps], delta: float, name: str) -> dict[str, float]:
    """By RDP, which a ledger goes by, and by privacy losses from below and from above.

    Args:
        history: what was released.
        delta: of all of it.
        name: of the first; the others add a word to it.
    """
    bounds = epsilon_bounds(history, delta)
    return {
        name: subject_epsilon(history, delta),
        f"{name}_optimistic": bounds.optimistic,
        f"{name}_pessimistic": bounds.pessimistic,
    }


def with_vocabulary(
    history: list[NoisySteps], delta: float, vocabulary: VocabularyCost
) -> dict[str, float]:
    """Epsilon of the vocabulary and the training together, at both deltas together."""
    both = [*history, vocabulary.steps]
    left = delta + vocabulary.delta - vocabulary.naming_delta
    return {"delta": delta + vocabulary.delta, **epsilons(both, left, "subject_epsilon")}
