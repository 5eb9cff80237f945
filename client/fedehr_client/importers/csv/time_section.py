"""`TimeSection`: when a row happened."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from fedehr_client.importers.csv.name import ColumnName
from fedehr_shared.config.section import Section

_FORMAT = re.compile(r"(?:[^%\x00-\x1f\x7f]|%-?[dmbByYHIpMSfgj]|%%)+")


def _known_directives(text: str) -> str:
    if not _FORMAT.fullmatch(text) or "%" not in text:
        raise ValueError(
            "is not a format of times: use %Y %y %m %b %B %d %j %H %I %p %M %S %f, for example "
            "%d.%m.%Y %H:%M"
        )
    return text


TimeFormat = Annotated[
    str, StringConstraints(min_length=2, max_length=64), AfterValidator(_known_directives)
]
"""A strptime format without a zone: the zone is the source's."""


class TimeSection(Section):
    """A time from columns of the row or of a joined table; one of the four ways.

    `time = "charttime"` is short for `time = { column = "charttime" }`.
    """

    column: ColumnName | None = None
    latest_of: Annotated[tuple[ColumnName, ...], Field(min_length=2, max_length=4)] | None = None
    """The latest of several (ordered and started; taken and reported); empty ones aside."""
    first_of: Annotated[tuple[ColumnName, ...], Field(min_length=2, max_length=4)] | None = None
    """The first that is filled."""
    offset: ColumnName | None = None
    """A number of `unit` after `since`."""
    unit: Literal["seconds", "minutes", "hours", "days"] | None = None
    since: ColumnName | None = None
    """The time that an offset counts from, such as `stays.admitted` of a joined table."""
    format: TimeFormat | None = None
    """How these columns write it; left out, the source's formats."""
    day: Literal["start", "end"] | None = None
    """The columns hold days without an hour: the row lies at the day's start (00:00:00) or
    its end (23:59:59). Take the end for what was known in the course of the day."""

    @model_validator(mode="before")
    @classmethod
    def _from_column(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_way(self) -> "TimeSection":
        ways = [self.column, self.latest_of, self.first_of, self.offset]
        if sum(way is not None for way in ways) != 1:
            raise ValueError("give exactly one of column, latest_of, first_of, offset")
        if (self.offset is None) is not (self.unit is None and self.since is None):
            raise ValueError("offset, unit and since belong together")
        if self.offset is not None and (self.unit is None or self.since is None):
            raise ValueError("an offset needs its unit and the time since which it counts")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that hold times (not the offset)."""
        if self.column is not None:
            return (self.column,)
        if self.since is not None:
            return (self.since,)
        return self.latest_of or self.first_of or ()
