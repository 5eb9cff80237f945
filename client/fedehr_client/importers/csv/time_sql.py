"""Times of a mapping as SQL: naive UTC where the source has a zone."""

from fedehr_client.importers.csv.row_scope import RowScope
from fedehr_client.importers.csv.time_section import TimeSection

_MICROSECONDS = {
    "seconds": 1_000_000,
    "minutes": 60_000_000,
    "hours": 3_600_000_000,
    "days": 86_400_000_000,
}
MOST_DAYS = 60_000
"""A longer offset is no offset; it would also leave the range of dates."""


def time_sql(section: TimeSection, scope: RowScope) -> str:
    """The section's time as a TIMESTAMP; NULL where it is not known."""
    times = [_column_sql(section, name, scope) for name in section.columns]
    if section.offset is not None and section.unit is not None:
        return _offset_sql(section.offset, section.unit, times[0], scope)
    if section.latest_of is not None:
        return f"greatest({', '.join(times)})"
    return f"coalesce({', '.join(times)})"


def _column_sql(section: TimeSection, name: str, scope: RowScope) -> str:
    source = scope.mapping.source
    own = (section.format,) if section.format is not None else ()
    if section.day is None:
        return scope.column(name, "time", own or source.time_formats)
    date = scope.column(name, "date", own or source.date_formats)
    return f"end_of_day({date})" if section.day == "end" else f"local_to_utc({date})"


def _offset_sql(offset: str, unit: str, since: str, scope: RowScope) -> str:
    number = scope.column(offset, "number")
    factor = _MICROSECONDS[unit]
    most = MOST_DAYS * _MICROSECONDS["days"] // factor
    return (
        f"CASE WHEN abs({number}) <= {most} THEN "
        f"{since} + to_microseconds(CAST(round({number} * {factor}) AS BIGINT)) END"
    )
