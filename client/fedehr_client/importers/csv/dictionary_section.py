"""`DictionarySection`: a table that says what codes mean."""

from typing import Annotated

from pydantic import Field, field_validator

from fedehr_client.importers.csv.code_template import CodeTemplate
from fedehr_client.importers.csv.name import ColumnName, TableName, Text
from fedehr_client.importers.csv.rows import FilterSection
from fedehr_shared.config.section import Section


class DictionarySection(Section):
    """`[[dictionaries]]`: each row one code. Codes that no event uses are left out."""

    table: TableName
    where: Annotated[tuple[FilterSection, ...], Field(max_length=16)] = ()
    code: Text
    """The template of the events, without their unit."""
    description: Annotated[tuple[ColumnName, ...], Field(max_length=4)] = ()
    """Columns, joined by a comma."""
    parents: Annotated[tuple[Text, ...], Field(max_length=4)] = ()
    """Templates of broader codes; one whose column is empty is left out."""

    @field_validator("code")
    @classmethod
    def _template(cls, text: str) -> str:
        CodeTemplate.parse(text)
        return text

    @field_validator("parents")
    @classmethod
    def _templates(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            CodeTemplate.parse(text)
        return texts
