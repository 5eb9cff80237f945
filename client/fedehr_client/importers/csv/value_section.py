"""`ValueSection` and `ConversionSection`: a row's number, and its unit."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fedehr_client.importers.csv.name import ColumnName, Text
from fedehr_shared.config.section import Section


class ValueSection(Section):
    """The column with the number; `value = "result"` is short for `{ column = "result" }`."""

    column: ColumnName
    otherwise: Literal["bad_row", "empty", "code"] = "bad_row"
    """A text that is no number: the row is bad and left out; the event has no number; or
    the text becomes the last part of the code ("positive")."""
    split: Annotated[Text, Field(max_length=3)] | None = None
    """Cut the text here first, as in "120/80", and take the `part`-th piece."""
    part: Annotated[int, Field(ge=1, le=9)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_column(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _split_whole(self) -> "ValueSection":
        if (self.split is None) is not (self.part is None):
            raise ValueError("split and part belong together")
        if self.split is not None and self.otherwise == "bad_row":
            raise ValueError('with split, say otherwise = "empty" or "code"')
        return self


class ConversionSection(Section):
    """A number in `from` becomes number * `factor` + `offset` in `to`."""

    from_unit: Annotated[Text, Field(alias="from")]
    to_unit: Annotated[Text, Field(alias="to")]
    factor: Annotated[float, Field(gt=0)] = 1.0
    offset: float = 0.0
    code: Text | None = None
    """Only for this code (written without the unit): factors between mass and amount differ
    from substance to substance."""
