"""Sections about the files as such: how they are written, and who their subjects are."""

from pathlib import PurePosixPath
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import Field, field_validator

from fedehr_client.importers.csv.name import ColumnName, Text
from fedehr_client.importers.csv.time_section import TimeFormat
from fedehr_shared.config.section import Section


class SourceSection(Section):
    """`[source]`: the same for every table."""

    name: Text
    """What `dataset.json` calls the records."""
    timezone: str | None = None
    """IANA name of the zone of all times; `--timezone` goes before it."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """Left out: found in each file's header."""
    encoding: Literal["utf-8", "latin-1", "utf-16", "windows-1252"] | None = None
    """Left out: found in each file's beginning."""
    decimal_mark: Literal[".", ","] = "."
    time_formats: Annotated[tuple[TimeFormat, ...], Field(max_length=8)] = ()
    """Tried one after the other; none: ISO 8601."""
    date_formats: Annotated[tuple[TimeFormat, ...], Field(max_length=8)] = ()
    """The same for columns that hold a day."""
    null_markers: Annotated[tuple[Text, ...], Field(max_length=32)] = ()
    """Texts that mean an empty cell, beside the empty cell itself."""
    last_year: Annotated[int, Field(ge=1900, le=2300)] | None = None
    """The last year that a time may have, for records whose dates were shifted into the
    future; left out, a year from now."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        if name is not None and name not in available_timezones():
            raise ValueError("is no IANA time zone, such as Europe/Amsterdam")
        return name

    @field_validator("delimiter")
    @classmethod
    def _plain_delimiter(cls, character: str | None) -> str | None:
        if character is not None and character not in ",;|\t":
            raise ValueError("is not one of comma, semicolon, bar and tab")
        return character


class TableSection(Section):
    """`[tables.NAME]`: where a table lies; one that is not listed lies in NAME.csv."""

    file: str | None = None
    """Path in the source folder without its ending, such as `hosp/labevents`: then .csv,
    .csv.gz, .parquet, or a folder of such parts."""
    required: bool = True
    """false: where there is no such file, all that reads it is left out."""
    optional_columns: Annotated[tuple[ColumnName, ...], Field(max_length=100)] = ()
    """Columns that some versions of the table lack: then their cells are empty."""

    @field_validator("file")
    @classmethod
    def _inside(cls, text: str | None) -> str | None:
        if text is None:
            return None
        path = PurePosixPath(text)
        if not text.isprintable() or path.is_absolute() or ".." in path.parts or not path.name:
            raise ValueError("is not a path within the source folder")
        return text


class IdSection(Section):
    """How subjects or visits are numbered."""

    kind: Literal["number", "text"] = "number"
    """number: whole numbers, kept as they are; text: anything, hashed into 63 bits."""


class SubjectSection(IdSection):
    """`[subject]`: the column that most tables share, and how texts become numbers."""

    column: ColumnName
    key_file: str | None = None
    """For texts: a file beside the mapping with a secret of at least 16 characters. Keep it:
    without it a later import gives every subject another number."""
