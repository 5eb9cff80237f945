"""`EventSection`: one kind of events, each row of a table one event."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from fedehr_client.importers.csv.code_template import CodeTemplate
from fedehr_client.importers.csv.name import ColumnName, TableName, Text
from fedehr_client.importers.csv.rows import RowsSection
from fedehr_client.importers.csv.time_section import TimeSection
from fedehr_client.importers.csv.value_section import ConversionSection, ValueSection

RESERVED = frozenset(
    {
        "MEDS_BIRTH", "MEDS_DEATH", "SEX", "HOSPITAL_ADMISSION", "HOSPITAL_DISCHARGE",
        "ICU_ADMISSION", "ICU_DISCHARGE", "EMERGENCY_VISIT", "OUTPATIENT_VISIT",
    }
)  # fmt: skip
"""First parts of the codes that the tasks rely on; their own sections make them."""


class EventSection(RowsSection):
    """`[[events]]`: what the code is, when it happened, and its number."""

    name: TableName | None = None
    """What messages call it; left out, its table's name. No two may share one."""
    code: Text
    """A template, such as `LAB//{itemid}`."""
    time: TimeSection | None = None
    static: bool = False
    """No time: true of the subject always."""
    value: ValueSection | None = None
    unit: Text | None = None
    """A template of one part, such as `{valueuom?}` or `mmHg`: the code's last part."""
    convert: Annotated[tuple[ConversionSection, ...], Field(max_length=500)] = ()
    visit: ColumnName | None = None
    """The hospital stay that the row belongs to."""
    delay_hours: Annotated[float, Field(ge=0, le=8_784)] = 0.0
    """How long after its time such an event is known: 72 for billing codes."""

    @field_validator("code")
    @classmethod
    def _begins_with_a_word(cls, text: str) -> str:
        template = CodeTemplate.parse(text)
        if not template.prefix:
            raise ValueError("a code must begin with a word of its own, as in LAB//{column}")
        first = template.prefix.split("//")[0]
        if first in RESERVED:
            raise ValueError(
                f"{first} has a section of its own: [birth], [sex], [[death]] or [[stays]]"
            )
        return text

    @field_validator("unit")
    @classmethod
    def _one_part(cls, text: str | None) -> str | None:
        if text is not None and len(CodeTemplate.parse(text).parts) != 1:
            raise ValueError("a unit is one part of a code, without //")
        return text

    @model_validator(mode="after")
    def _whole(self) -> "EventSection":
        if (self.time is None) is not self.static:
            raise ValueError("give either a time or static = true")
        if self.static and (self.delay_hours or self.visit):
            raise ValueError("a static event has neither visit nor delay_hours")
        if self.unit is not None and self.value is None:
            raise ValueError("a unit needs a value")
        if self.convert and self.unit is None:
            raise ValueError("convert needs the unit that it converts from")
        return self

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.name or self.table

    @property
    def template(self) -> CodeTemplate:
        """The code, without its unit."""
        return CodeTemplate.parse(self.code)

    @property
    def unit_template(self) -> CodeTemplate | None:
        """The unit."""
        return None if self.unit is None else CodeTemplate.parse(self.unit)
