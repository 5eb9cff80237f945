"""`MappingSql`: a whole mapping as SQL over the tables that the source has."""

from dataclasses import dataclass, field

from fedehr_client.importers.csv.columns import ColumnBook
from fedehr_client.importers.csv.dictionary_sql import dictionary_sql
from fedehr_client.importers.csv.event_sql import event_sql
from fedehr_client.importers.csv.mapping import Mapping
from fedehr_client.importers.csv.person_sql import birth_sql, death_sql, sex_sql
from fedehr_client.importers.csv.stay_sql import stay_sql


@dataclass(frozen=True)
class EventQuery:
    """A SELECT of events, those dropped included.

    Attributes:
        title: what messages call it: the kind of section, and its table or name.
        sql: columns `subject_id`, `time`, `code`, `numeric_value`, `visit_id`, `drop_reason`.
    """

    title: str
    sql: str


@dataclass
class MappingSql:
    """The sections whose tables are there, as SQL.

    Attributes:
        book: every column that is read.
        events: of all sections.
        dictionaries: see `dictionary_sql`.
        left_out: by table that is not there, how many sections go without it.
    """

    mapping: Mapping
    tables: frozenset[str]
    book: ColumnBook = field(default_factory=ColumnBook)
    events: list[EventQuery] = field(default_factory=list)
    dictionaries: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._add_persons()
        for stay in self.mapping.stays:
            if self._has(stay.tables):
                for sql in stay_sql(stay, self.mapping, self.book):
                    self.events.append(EventQuery(f"stays {stay.kind} ({stay.table})", sql))
        for event in self.mapping.events:
            if self._has(event.tables):
                sql = event_sql(event, self.mapping, self.book)
                self.events.append(EventQuery(f"events {event.title}", sql))
        for dictionary in self.mapping.dictionaries:
            if self._has((dictionary.table,)):
                self.dictionaries.append(dictionary_sql(dictionary, self.mapping, self.book))

    def _add_persons(self) -> None:
        birth, sex = self.mapping.birth, self.mapping.sex
        if birth is not None and self._has(birth.tables):
            sql = birth_sql(birth, self.mapping, self.book)
            self.events.append(EventQuery(f"birth ({birth.table})", sql))
        if sex is not None and self._has(sex.tables):
            sql = sex_sql(sex, self.mapping, self.book)
            self.events.append(EventQuery(f"sex ({sex.table})", sql))
        deaths = tuple(death for death in self.mapping.death if self._has(death.tables))
        if deaths:
            sql = death_sql(deaths, self.mapping, self.book)
            named = ", ".join(death.table for death in deaths)
            self.events.append(EventQuery(f"death ({named})", sql))

    def _has(self, tables: tuple[str, ...]) -> bool:
        missing = [table for table in tables if table not in self.tables]
        for table in missing:
            self.left_out[table] = self.left_out.get(table, 0) + 1
        return not missing
