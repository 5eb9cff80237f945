"""`Mapping`: the whole mapping file, and what its sections must agree on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from fedehr_client.importers.csv.dictionary_section import DictionarySection
from fedehr_client.importers.csv.event_section import RESERVED, EventSection
from fedehr_client.importers.csv.name import TableName
from fedehr_client.importers.csv.person_section import BirthSection, DeathSection, SexSection
from fedehr_client.importers.csv.rows import RowsSection
from fedehr_client.importers.csv.source_section import (
    IdSection,
    SourceSection,
    SubjectSection,
    TableSection,
)
from fedehr_client.importers.csv.stay_section import StaySection
from fedehr_shared.config.section import Section, read_toml
from fedehr_shared.errors import ConfigError

MOST_BYTES = 1_000_000
"""A mapping is a page or two; a larger file is something else."""


class Mapping(Section):
    """A mapping file: how a hospital's tables become events."""

    source: SourceSection
    subject: SubjectSection
    visit: IdSection = IdSection()
    tables: Annotated[dict[TableName, TableSection], Field(max_length=200, default_factory=dict)]
    birth: BirthSection | None = None
    sex: SexSection | None = None
    death: Annotated[tuple[DeathSection, ...], Field(max_length=8)] = ()
    stays: Annotated[tuple[StaySection, ...], Field(max_length=32)] = ()
    events: Annotated[tuple[EventSection, ...], Field(min_length=1, max_length=200)]
    dictionaries: Annotated[tuple[DictionarySection, ...], Field(max_length=100)] = ()

    @classmethod
    def load(cls, path: Path) -> "Mapping":
        """Read a mapping file.

        Raises:
            ConfigError: the file is missing, no TOML, or holds a wrong key.
        """
        if path.is_file() and path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{path} is over {MOST_BYTES:,} bytes: no mapping. Check the path.")
        return read_toml(path, cls)

    @model_validator(mode="after")
    def _agree(self) -> "Mapping":
        self._check_titles()
        self._check_delays()
        self._check_tables()
        hashed = "text" in (self.subject.kind, self.visit.kind)
        if hashed and self.subject.key_file is None:
            raise ValueError('[subject] key_file is needed where kind = "text"')
        return self

    def _check_titles(self) -> None:
        titles = [event.title for event in self.events]
        for title in titles:
            if titles.count(title) > 1:
                raise ValueError(f"two [[events]] are called {title}: give each its own name")

    def _check_delays(self) -> None:
        """Delays go by the beginning of a code, so it must not belong to two of them."""
        for event in self.events:
            prefix = event.template.prefix
            if event.delay_hours and any(code.startswith(prefix) for code in RESERVED):
                raise ValueError(f"the code of [[events]] {event.title} begins as a standard code")
            for other in self.events:
                same = other.template.prefix.startswith(prefix)
                if same and other.delay_hours != event.delay_hours:
                    raise ValueError(
                        f"[[events]] {event.title} and {other.title} share the beginning of "
                        "their codes but not delay_hours: let their codes begin differently"
                    )

    def _check_tables(self) -> None:
        used = self.table_names()
        for name in self.tables:
            if name not in used:
                raise ValueError(f"[tables.{name}] is used by nothing: remove it or use it")

    def rows(self) -> Iterator[RowsSection]:
        """Every section that reads rows, in the file's order of kinds."""
        if self.birth is not None:
            yield self.birth
        if self.sex is not None:
            yield self.sex
        yield from self.death
        yield from self.stays
        yield from self.events

    def table_names(self) -> list[str]:
        """Every table that is read, by name."""
        names = {table for rows in self.rows() for table in rows.tables}
        return sorted(names | {dictionary.table for dictionary in self.dictionaries})

    def table(self, name: str) -> TableSection:
        """What the mapping says of table `name`."""
        return self.tables.get(name, TableSection())
