"""`AttackPlan`: which attacks on membership a released model is put through."""

from dataclasses import dataclass
from typing import Literal, get_args

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import UsageError
from fedehr_simulations.attacks.likelihood_ratio import LEAST_SHADOWS

Attack = Literal["none", "loss", "lira"]
ATTACKS: tuple[Attack, ...] = get_args(Attack)


@dataclass(frozen=True)
class AttackPlan:
    """What is tried.

    Attributes:
        attack: `loss`: the loss threshold; `lira`: that, and the likelihood ratio; `none`.
        num_shadows: models trained for `lira`, each as long as the study in one process.
    """

    attack: Attack = "loss"
    num_shadows: int = 8

    @classmethod
    def named(cls, attack: str, num_shadows: int) -> "AttackPlan":
        """From a command line.

        Raises:
            UsageError: there is no such attack, or it cannot have so many shadows.
        """
        for known in ATTACKS:
            if attack == known:
                plan = cls(known, num_shadows)
                break
        else:
            raise UsageError(f"--attack {attack}: choose one of {', '.join(ATTACKS)}.")
        if num_shadows < LEAST_SHADOWS or num_shadows % 2:
            raise UsageError(
                f"--shadows {num_shadows}: give an even number, {LEAST_SHADOWS} or more: each "
                "subject is in half of them."
            )
        return plan

    def check(self, study: StudyConfig) -> None:
        """Refuse what a study does not allow.

        Raises:
            UsageError: shadows would begin from a model that learnt from everybody.
        """
        if self.attack == "lira" and study.pretraining.reuse:
            raise UsageError(
                "--attack lira trains the study over again without some subjects, and "
                "[pretraining] reuse begins from a model that may know them. Choose --attack loss."
            )
