"""`BirthSection`, `SexSection` and `DeathSection`: what there is once a subject."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedehr_client.importers.csv.name import ColumnName, Text
from fedehr_client.importers.csv.rows import RowsSection
from fedehr_client.importers.csv.time_section import TimeSection


class BirthSection(RowsSection):
    """`[birth]`: a date, or an age with the time or the year at which it was true.

    Of several rows a subject the earliest date counts.
    """

    date: TimeSection | None = None
    age: ColumnName | None = None
    """Completed years, also written `> 89` or `90+`."""
    at: TimeSection | None = None
    """When the subject had that age: birth is so many years before."""
    year: ColumnName | None = None
    """The year in which the subject had that age: birth is on 1 January of year - age."""

    @model_validator(mode="after")
    def _one_way(self) -> "BirthSection":
        if (self.date is None) is (self.age is None):
            raise ValueError("give either date or age")
        if self.age is not None and (self.at is None) is (self.year is None):
            raise ValueError("an age needs the time at which it was true: at or year")
        if self.age is None and (self.at is not None or self.year is not None):
            raise ValueError("at and year belong to age")
        return self


class SexSection(RowsSection):
    """`[sex]`: what the column writes for F and M; anything else is `SEX//U`."""

    column: ColumnName
    values: Annotated[dict[Text, Literal["F", "M", "U"]], Field(min_length=1, max_length=100)]


class DeathSection(RowsSection):
    """`[[death]]`: when a subject died. One event a subject: the first section that knows
    it counts, and within it the earliest."""

    time: TimeSection
