"""`StaySection`: stays and visits, as the standard codes that the tasks rely on."""

from typing import Literal

from pydantic import model_validator

from fedehr_client.importers.csv.name import ColumnName
from fedehr_client.importers.csv.rows import RowsSection
from fedehr_client.importers.csv.time_section import TimeSection

StayKind = Literal["hospital", "icu", "emergency", "outpatient"]
START_CODES: dict[StayKind, str] = {
    "hospital": "HOSPITAL_ADMISSION",
    "icu": "ICU_ADMISSION",
    "emergency": "EMERGENCY_VISIT",
    "outpatient": "OUTPATIENT_VISIT",
}
END_CODES: dict[StayKind, str] = {"hospital": "HOSPITAL_DISCHARGE", "icu": "ICU_DISCHARGE"}


class StaySection(RowsSection):
    """`[[stays]]`: each row is one stay."""

    kind: StayKind
    start: TimeSection
    end: TimeSection | None = None
    """Needed for hospital and icu; an empty cell means that the stay goes on."""
    type: ColumnName | None = None
    """The last part of the admission's code (urgent, the unit); `unknown` where empty."""
    end_type: ColumnName | None = None
    """The last part of the discharge's code (destination, the unit)."""
    visit: ColumnName | None = None
    """The hospital stay's number."""

    @model_validator(mode="after")
    def _ends(self) -> "StaySection":
        if (self.kind in END_CODES) is not (self.end is not None):
            raise ValueError("hospital and icu stays have an end, visits have none")
        if self.end is None and self.end_type is not None:
            raise ValueError("end_type needs an end")
        return self
