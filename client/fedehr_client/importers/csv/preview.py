"""`MappingPreview`: what a mapping makes of the first rows, for the hospital's own screen.

It shows times, codes and values of single rows, so it is printed and never kept: nothing of
it goes into a file or a log.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from fedehr_client.importers.csv.importer import COUNTS, CsvImporter
from fedehr_client.importers.csv.mapping_sql import EventQuery
from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.engine.source import ReportStep, settings_for
from fedehr_client.importers.engine.workspace import Workspace


@dataclass(frozen=True)
class SectionPreview:
    """One section of the mapping.

    Attributes:
        title: the kind of section, and its table or name.
        rows: `time`, `code` and `value` of the first events.
        num_events: events of the whole table, before duplicates are dropped.
        codes: number of events by code, the most frequent ones.
        num_codes: distinct codes.
        dropped: rows that give no event, by reason.
    """

    title: str
    rows: pd.DataFrame
    num_events: int
    codes: pd.Series
    num_codes: int
    dropped: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "section": self.title,
            "num_events": self.num_events,
            "num_codes": self.num_codes,
            "codes": {str(code): int(num) for code, num in self.codes.items()},
            "dropped": self.dropped,
            "rows": [
                {"time": _text(row.time), "code": row.code, "value": _number(row.value)}
                for row in self.rows.itertuples()
            ],
        }


@dataclass(frozen=True)
class MappingPreview:
    """The whole mapping.

    Attributes:
        sections: in the order in which they are read.
        tables: as in `import.json`: rows read and bad rows, by table.
        missing: by table that is not there, how many sections go without it.
    """

    sections: list[SectionPreview]
    tables: dict[str, Any]
    missing: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "sections": [section.to_dict() for section in self.sections],
            "tables": self.tables,
            "missing_tables": self.missing,
        }


def preview_mapping(
    importer: CsvImporter,
    settings: ImportSettings,
    num_rows: int,
    scratch: Path,
    report_step: ReportStep,
) -> MappingPreview:
    """Read the tables as an import would, and show what their rows become.

    Args:
        importer: source and mapping.
        settings: bad rows are shown, however many there are.
        num_rows: events shown of each section.
        scratch: folder in which private files lie until the end.
        report_step: told of each step.

    Raises:
        ConfigError: the key of the subjects' numbers is missing.
        DataError: a table or column is missing or malformed.
    """
    settings = replace(settings_for(importer, settings), max_bad_share=1.0)
    with Workspace(settings, beside=scratch) as workspace:
        queries = importer.prepare(workspace, report_step)
        sections = [
            _preview_section(workspace, number, query, num_rows)
            for number, query in enumerate(queries.events)
        ]
        tables = dict(workspace.bad_rows.to_dict())
    return MappingPreview(sections, tables, queries.left_out)


def _preview_section(
    workspace: Workspace, number: int, query: EventQuery, num_rows: int
) -> SectionPreview:
    rows = workspace.connection.sql(
        f"""SELECT time, code, CAST(numeric_value AS DOUBLE) AS value FROM ({query.sql})
        WHERE drop_reason IS NULL LIMIT {num_rows}"""
    ).df()
    counts = workspace.connection.sql(
        f"SELECT code, drop_reason, num FROM {COUNTS} WHERE query = {number}"
    ).df()
    codes = counts.dropna(subset="code").groupby("code")["num"].sum()
    dropped = counts.dropna(subset="drop_reason").groupby("drop_reason")["num"].sum()
    return SectionPreview(
        query.title,
        rows,
        int(codes.sum()),
        codes.sort_values(ascending=False).head(num_rows),
        len(codes),
        {str(reason): int(num) for reason, num in dropped.items()},
    )


def _text(time: Any) -> str | None:
    return None if pd.isna(time) else pd.Timestamp(time).isoformat(sep=" ")


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
