"""One `[[stays]]` section as SELECTs of admissions and discharges."""

from typing import cast

from fedehr_client.importers.csv.columns import ColumnBook
from fedehr_client.importers.csv.mapping import Mapping
from fedehr_client.importers.csv.quoting import quote_text
from fedehr_client.importers.csv.row_scope import RowScope
from fedehr_client.importers.csv.stay_section import END_CODES, START_CODES, StaySection
from fedehr_client.importers.csv.time_section import TimeSection
from fedehr_client.importers.csv.time_sql import time_sql

UNKNOWN = "unknown"


def stay_sql(section: StaySection, mapping: Mapping, book: ColumnBook) -> list[str]:
    """Admissions, then discharges where the kind has them; columns as in `event_sql`."""
    scope = RowScope(mapping, section, book)
    starts = _edge_sql(scope, section.start, START_CODES[section.kind], section.type)
    if section.end is None:
        return [starts]
    ends = _edge_sql(scope, section.end, END_CODES[section.kind], section.end_type)
    # A stay without an end goes on: nothing is left out by not having one.
    return [starts, f"SELECT * FROM ({ends}) WHERE time IS NOT NULL"]


def _edge_sql(scope: RowScope, time: TimeSection, code: str, type_column: str | None) -> str:
    section = cast(StaySection, scope.rows)
    kind = quote_text(UNKNOWN)
    if type_column is not None:
        kind = f"coalesce(code_part({scope.column(type_column, 'text')}), {kind})"
    return f"""SELECT * EXCLUDE (no_subject), CASE
            WHEN no_subject THEN {quote_text(f"{section.table}_without_subject")}
            WHEN time IS NULL THEN {quote_text(f"{section.table}_without_start")}
            END AS drop_reason
        FROM (SELECT {scope.subject()} AS subject_id, {scope.no_subject()} AS no_subject,
            {time_sql(time, scope)} AS time,
            {quote_text(f"{code}//")} || {kind} AS code, CAST(NULL AS DOUBLE) AS numeric_value,
            {scope.visit(section.visit)} AS visit_id {scope.source()})"""
