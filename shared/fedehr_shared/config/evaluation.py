"""`[evaluation]`: what sites tell of the model's quality."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedehr_shared.config.section import Section

Age = Annotated[float, Field(gt=0, lt=200)]
Subgroup = Literal["sex", "age"]


class EvaluationConfig(Section):
    """The held-out evaluation that ends a study."""

    num_bootstraps: Annotated[int, Field(ge=100, le=10_000)] = 1_000
    """Bootstrap replicates over subjects for the 95 % intervals."""
    calibration: Literal["none", "temperature", "platt"] = "none"
    """Fitted by each site on its tuning split and applied before probabilities are judged:
    `temperature` divides log-odds by one number (Guo et al. 2017), `platt` fits slope and
    intercept (Platt 1999)."""
    num_calibration_bins: Annotated[int, Field(ge=2, le=100)] = 15
    """Bins of equal mass for the calibration error; fewer where they would hold too few."""
    subgroups: tuple[Subgroup, ...] = ("sex", "age")
    """By what the scores are told apart."""
    age_bands_years: Annotated[tuple[Age, ...], Field(min_length=1, max_length=10)] = (
        18,
        45,
        65,
        80,
    )
    """Where a band of ages ends and the next begins, at the prediction time."""

    @model_validator(mode="after")
    def _in_order(self) -> "EvaluationConfig":
        if any(one >= next_one for one, next_one in pairwise(self.age_bands_years)):
            raise ValueError("age_bands_years must rise")
        if len({f"{age:g}" for age in self.age_bands_years}) < len(self.age_bands_years):
            raise ValueError("age_bands_years must differ in six digits: they name groups")
        if len(set(self.subgroups)) < len(self.subgroups):
            raise ValueError("subgroups names one twice")
        return self
