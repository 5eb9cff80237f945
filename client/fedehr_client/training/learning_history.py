"""`LearningHistory`: for how many steps each parameter has learnt, and where it belongs."""

from dataclasses import dataclass

from fedehr_client.training.round_plan import RoundPlan
from fedehr_shared.model.tuning.plan import TuningPlan


@dataclass(frozen=True)
class LearningHistory:
    """What came before one round, parameter by parameter.

    It follows from the study and the round's number alone: a site that missed rounds knows it.

    Attributes:
        plan: of the round.
        round_number: from 1 within the phase.
        tuning: None: all parameters learn in every round.
    """

    plan: RoundPlan
    round_number: int
    tuning: TuningPlan | None = None

    def num_steps(self, name: str) -> int:
        """Steps of the phase before this round in which a parameter learnt: its moments' age."""
        if self.tuning is None:
            return self.plan.first_step
        rounds = range(1, self.round_number)
        return sum(self._length(n) for n in rounds if self.tuning.rate_factor(name, n) > 0)

    def stays(self, name: str) -> bool:
        """Whether a parameter is the site's own, and its moments with it."""
        return self.tuning is not None and self.tuning.is_local(name)

    def _length(self, number: int) -> int:
        return self.plan.end_of_round(number) - self.plan.end_of_round(number - 1)
