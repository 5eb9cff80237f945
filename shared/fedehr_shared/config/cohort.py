"""`[cohort]`: whose labels a study uses. Pre-training sees every record all the same."""

from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from fedehr_shared.config.code_pattern import OptionalPattern
from fedehr_shared.config.section import Section

OLDEST_YEARS = 200.0
"""Beyond any age: no upper bound."""


def _check_date(text: str) -> str:
    try:
        if not text or date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise ValueError("must be a date as 2024-12-31, or empty")


OptionalDate = Annotated[str, AfterValidator(_check_date)]

Years = Annotated[float, Field(ge=0.0, le=OLDEST_YEARS)]


class CohortConfig(Section):
    """Who counts, judged by what is known at the prediction time alone.

    Sites apply it to their labelled examples: in fine-tuning, in evaluation and in the label
    counts of the first phase.
    """

    min_age_years: Years = 0.0
    max_age_years: Years = OLDEST_YEARS
    """Age at the prediction time. A subject of unknown age passes only if neither is set."""
    setting: OptionalPattern = ""
    """A code that must be known by the prediction time within the same visit."""
    start_date: OptionalDate = ""
    end_date: OptionalDate = ""
    """First and last day of prediction."""
    min_history_hours: Annotated[float, Field(ge=0.0, le=1_000_000.0)] = 0.0
    """From the subject's first known event to the prediction."""

    @model_validator(mode="after")
    def _order(self) -> "CohortConfig":
        if self.min_age_years > self.max_age_years:
            raise ValueError("min_age_years must not exceed max_age_years")
        if self.start_date and self.end_date and self.start_date > self.end_date:
            raise ValueError("start_date must not be later than end_date")
        return self

    @property
    def is_everyone(self) -> bool:
        """Whether nothing is asked."""
        return self == EVERYONE

    @property
    def bounds_age(self) -> bool:
        """Whether a subject of unknown age is left out."""
        return self.min_age_years > 0 or self.max_age_years < OLDEST_YEARS


EVERYONE = CohortConfig()
"""No bounds."""
