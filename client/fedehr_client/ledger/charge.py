"""`Charge`: what one round of a study costs a site's subjects, and the plan of all its rounds."""

from collections.abc import Iterable
from dataclasses import dataclass

from fedehr_client.ledger.entry import Phase
from fedehr_client.ledger.spending import Spending
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.privacy.noisy_steps import NoisySteps, merged
from fedehr_shared.privacy.study_cost import PHASES, StudyCost
from fedehr_shared.privacy.vocabulary_cost import VocabularyCost


@dataclass(frozen=True)
class Charge:
    """One round.

    Attributes:
        phase: of the study.
        round: from 1.
        steps: what is charged.
        delta: that the study states.
        naming_delta: of it, the chance that the vocabulary names a code of one subject alone.
    """

    phase: Phase
    round: int
    steps: NoisySteps
    delta: float
    naming_delta: float = 0.0


def vocabulary_charge(study: StudyConfig) -> Charge | None:
    """A noisy vocabulary is one release of Gaussian noise; None where it has no noise.

    The multiplier is the noise by what one subject can change, whatever is released.
    """
    cost = VocabularyCost.of(study.vocabulary)
    if cost is None:
        return None
    return Charge("vocabulary", 1, cost.steps, cost.delta, cost.naming_delta)


def round_charge(study: StudyConfig, phase: Phase, round_number: int) -> Charge | None:
    """A round of training; None where sites add no noise in its phase.

    Raises:
        ConfigError: no noise keeps the study within its target.
    """
    if not study.privacy.is_private(phase):
        return None
    cost = StudyCost.of(study)
    return Charge(phase, round_number, cost.of_round(phase), cost.delta)


def planned_charges(study: StudyConfig) -> list[Charge]:
    """Every round of a study that is charged, in its order.

    Raises:
        ConfigError: no noise keeps the study within its target.
    """
    first = vocabulary_charge(study)
    rounds = (
        round_charge(study, phase, number)
        for phase in PHASES
        for number in range(1, study.num_rounds(phase) + 1)
    )
    return [charge for charge in (first, *rounds) if charge is not None]


def spending_of(charges: Iterable[Charge]) -> Spending:
    """What these rounds come to together."""
    listed = list(charges)
    steps = merged(charge.steps for charge in listed)
    return Spending(steps, sum(charge.naming_delta for charge in listed))


def unprotected_phases(study: StudyConfig) -> list[Phase]:
    """The phases of training in which sites add no noise."""
    return [
        phase for phase in PHASES if study.num_rounds(phase) and not study.privacy.is_private(phase)
    ]
