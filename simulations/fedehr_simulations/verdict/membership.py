"""Results of attacks on membership, as they stand in a verdict."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from fedehr_simulations.verdict.result import Count, Finite, Interval, Part, Share, Text

Figure = Literal["auroc", "balanced_accuracy", "tpr_at_1_percent", "tpr_at_0_1_percent"]
FIGURES: tuple[Figure, ...] = (
    "auroc",
    "balanced_accuracy",
    "tpr_at_1_percent",
    "tpr_at_0_1_percent",
)


class RatePoint(Part):
    """A point of the attack's curve, and of the bound's."""

    fpr: Share
    tpr: Share
    greatest_tpr: Share | None = None
    """What (epsilon, delta) allows; null where no noise covers the model."""


class AttackBound(Part):
    """What (epsilon, delta) allows any attacker; see `attacks.bound.PrivacyBound`."""

    epsilon: Annotated[Finite, Field(ge=0.0)]
    delta: Share
    auroc: Share
    balanced_accuracy: Share
    tpr_at_1_percent: Share
    tpr_at_0_1_percent: Share


class MembershipAttack(Part):
    """How well members are told from non-members of the same hospitals.

    `bound` is null where no noise covers all training of the model on its subjects.
    """

    arm: Text
    model: Literal["finetuned", "pretrained"]
    attack: Literal["loss", "lira"]
    num_shadows: Count = 0
    num_members: Count | None
    num_non_members: Count | None
    auroc: Interval
    balanced_accuracy: Interval
    tpr_at_1_percent: Interval
    tpr_at_0_1_percent: Interval
    curve: tuple[RatePoint, ...] = ()
    bound: AttackBound | None = None
    reason: Text | None = None

    left_out_if_none: ClassVar[frozenset[str]] = frozenset({"reason"})

    @model_validator(mode="after")
    def _counted(self) -> "MembershipAttack":
        if (None in {self.num_members, self.num_non_members}) != (self.reason is not None):
            raise ValueError("both numbers are given, or a reason is")
        return self

    def figure(self, name: Figure) -> Interval:
        """One of the four by name."""
        found: Interval = getattr(self, name)
        return found
