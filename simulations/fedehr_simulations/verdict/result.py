"""Results of one arm: scores with 95 % intervals, pooled and by site.

A number that rests on fewer than `min_cell` positives or negatives is null, with a `reason`.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Metric = Literal["auroc", "auprc", "brier"]
METRICS: tuple[Metric, ...] = ("auroc", "auprc", "brier")
Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Text = Annotated[str, Field(min_length=1)]


class Part(BaseModel):
    """Base of all parts of a verdict: frozen, and no key that the schema does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    left_out_if_none: ClassVar[frozenset[str]] = frozenset({"reason"})

    @model_serializer(mode="wrap")
    def _leave_out(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        return {
            key: value
            for key, value in values.items()
            if value is not None or key not in self.left_out_if_none
        }


class Interval(Part):
    """A figure with its 95 % interval; `reason` says why a number is missing."""

    value: Finite | None
    low: Finite | None
    high: Finite | None
    reason: Text | None = None

    @classmethod
    def withheld(cls, reason: str) -> "Interval":
        """No figure, and why."""
        return cls(value=None, low=None, high=None, reason=reason)

    @model_validator(mode="after")
    def _consistent(self) -> "Interval":
        is_whole = None not in (self.value, self.low, self.high)
        if is_whole == (self.reason is not None):
            raise ValueError("an interval holds three numbers, or a reason for what is null")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high})")
        return self


class Scores(Part):
    """Scores on held-out subjects; `num` and `num_positive` count them.

    `calibration_error` and `calibration_slope` are absent where nothing is told.
    """

    left_out_if_none: ClassVar[frozenset[str]] = frozenset(
        {"reason", "calibration_error", "calibration_slope"}
    )

    num: Count | None
    num_positive: Count | None
    auroc: Interval
    auprc: Interval
    brier: Interval
    calibration_error: Interval | None = None
    calibration_slope: Interval | None = None
    reason: Text | None = None

    @model_validator(mode="after")
    def _counted(self) -> "Scores":
        if (self.num is None or self.num_positive is None) != (self.reason is not None):
            raise ValueError("num and num_positive are both given, or a reason is")
        return self

    def metric(self, name: Metric) -> Interval:
        """One of the three by name."""
        interval: Interval = getattr(self, name)
        return interval


class SeedScores(Part):
    """Pooled point estimates, one a seed, in the order of the seeds."""

    auroc: tuple[Finite | None, ...] = ()
    auprc: tuple[Finite | None, ...] = ()
    brier: tuple[Finite | None, ...] = ()


class TaskResult(Scores):
    """One task: pooled over sites, by site and by seed.

    `oracle` is the AUROC of the true probabilities, known for synthetic records alone;
    `worst_site` the site with the least AUROC of those told.
    """

    left_out_if_none: ClassVar[frozenset[str]] = frozenset(
        {"reason", "calibration_error", "calibration_slope", "oracle", "worst_site"}
    )

    per_site: dict[str, Scores] = Field(default_factory=dict)
    per_seed: SeedScores = SeedScores()
    oracle: Share | None = None
    worst_site: Text | None = None


class ArmResult(Part):
    """One way of training: `federated`, `pooled`, `local`, `scratch`, `logistic`."""

    tasks: dict[str, TaskResult]
    pretraining_loss: tuple[Finite | None, ...] = ()
    """Mean masked-event loss, one a round; empty where the arm has no pre-training."""
