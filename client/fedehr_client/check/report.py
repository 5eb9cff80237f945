"""`CheckReport`: findings, tables and plots of one site, section by section."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class Verdict(StrEnum):
    """What a finding means for taking part."""

    OK = "ok"
    WARNING = "warning"
    """Worth a look; the site can take part."""
    FAILED = "failed"
    """The site cannot take part until it is mended."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: for programs, unique within the report.
        verdict: what it means.
        text: one sentence for people; where it is not ok, with the next step.
        figures: the numbers behind it; None where a number is withheld.
    """

    name: str
    verdict: Verdict
    text: str
    figures: dict[str, float | int | str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Bars:
    """A bar plot: one label and one number a bar, None where it is withheld."""

    title: str
    labels: tuple[str, ...]
    values: tuple[int | None, ...]


@dataclass(frozen=True)
class Section:
    """What belongs together on the page. `tables` by title; a missing cell is withheld."""

    title: str
    findings: tuple[Finding, ...]
    tables: "dict[str, pd.DataFrame]" = field(default_factory=dict)
    plots: tuple[Bars, ...] = ()


@dataclass(frozen=True)
class CheckReport:
    """The whole page.

    Attributes:
        site: the site folder's name.
        min_cell: numbers that rest on fewer subjects are withheld.
        sections: in the order of the page.
    """

    site: str
    min_cell: int
    sections: tuple[Section, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding of every section."""
        return tuple(finding for section in self.sections for finding in section.findings)

    @property
    def failed(self) -> tuple[Finding, ...]:
        """What keeps the site from taking part."""
        return tuple(f for f in self.findings if f.verdict is Verdict.FAILED)

    @property
    def ready(self) -> bool:
        """True where nothing failed."""
        return not self.failed

    def to_dict(self) -> dict[str, Any]:
        """As JSON; None stands for a withheld number."""
        return {
            "site": self.site,
            "ready": self.ready,
            "min_cell": self.min_cell,
            "sections": [_section(section) for section in self.sections],
        }


def _section(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "findings": [
            {"name": f.name, "verdict": f.verdict.value, "text": f.text, "figures": f.figures}
            for f in section.findings
        ],
        "tables": {title: table_rows(table) for title, table in section.tables.items()},
        "plots": [
            {"title": p.title, "labels": list(p.labels), "values": list(p.values)}
            for p in section.plots
        ],
    }


def table_rows(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """A table's rows by column; None where a number is withheld."""
    plain = table.astype(object).where(table.notna(), None)
    return [{str(name): cell for name, cell in row.items()} for row in plain.to_dict("records")]
