"""`RowsSection`: which rows of a table a part of the mapping is about, and whose they are."""

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from fedehr_client.importers.csv.name import ColumnName, TableName, Text
from fedehr_shared.config.section import Section


class JoinSection(Section):
    """Another table's columns beside a row's own: at most one of its rows for each row."""

    table: TableName
    on: Annotated[dict[ColumnName, ColumnName], Field(min_length=1, max_length=4)]
    """This table's column = the other's. `on = "stay_id"` where both are called the same."""

    @field_validator("on", mode="before")
    @classmethod
    def _same_names(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {value: value}
        if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
            return {name: name for name in value}
        return value


class FilterSection(Section):
    """A condition on one column; texts are compared as they stand, letter by letter."""

    column: ColumnName
    equals: Text | None = None
    one_of: Annotated[tuple[Text, ...], Field(min_length=1, max_length=1_000)] | None = None
    none_of: Annotated[tuple[Text, ...], Field(min_length=1, max_length=1_000)] | None = None
    """An empty cell is none of them, so its row stays."""
    filled: bool | None = None
    """true: the cell holds something; false: it is empty."""

    @model_validator(mode="after")
    def _one_condition(self) -> "FilterSection":
        given = [self.equals, self.one_of, self.none_of, self.filled]
        if sum(condition is not None for condition in given) != 1:
            raise ValueError("give exactly one of equals, one_of, none_of, filled")
        return self


class RowsSection(Section):
    """Rows of one table."""

    table: TableName
    join: Annotated[tuple[JoinSection, ...], Field(max_length=4)] = ()
    where: Annotated[tuple[FilterSection, ...], Field(max_length=16)] = ()
    """All of them must hold."""
    subject: ColumnName | None = None
    """Whose row it is; left out, the column that [subject] names."""

    @model_validator(mode="after")
    def _joined_once(self) -> "RowsSection":
        tables = [self.table, *(join.table for join in self.join)]
        if len(set(tables)) < len(tables):
            raise ValueError("a table is joined to itself or joined twice")
        return self

    @property
    def tables(self) -> tuple[str, ...]:
        """The table itself and those joined to it."""
        return (self.table, *(join.table for join in self.join))
