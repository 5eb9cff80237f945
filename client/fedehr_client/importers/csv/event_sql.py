"""One `[[events]]` section as a SELECT of events."""

from fedehr_client.importers.csv.code_sql import template_sql
from fedehr_client.importers.csv.columns import ColumnBook
from fedehr_client.importers.csv.event_section import EventSection
from fedehr_client.importers.csv.mapping import Mapping
from fedehr_client.importers.csv.quoting import quote_text
from fedehr_client.importers.csv.row_scope import RowScope
from fedehr_client.importers.csv.time_sql import time_sql
from fedehr_client.importers.csv.value_section import ConversionSection, ValueSection

_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?"


def event_sql(section: EventSection, mapping: Mapping, book: ColumnBook) -> str:
    """The section's events, rows that give none included.

    Columns: `subject_id`, `time`, `code`, `numeric_value`, `visit_id` and `drop_reason`, NULL
    for a whole event.
    """
    scope = RowScope(mapping, section, book)
    time = "CAST(NULL AS TIMESTAMP)"
    if section.time is not None:
        time = time_sql(section.time, scope)
    rows = f"""SELECT {scope.subject()} AS subject_id, {scope.no_subject()} AS no_subject,
        {time} AS time,
        {template_sql(section.template, lambda name: scope.column(name, "text"))} AS base,
        {_unit_sql(section, scope)} AS unit, {_number_sql(section.value, scope)} AS number,
        {_result_sql(section.value, scope)} AS result,
        {scope.visit(section.visit)} AS visit_id {scope.source()}"""
    unit, number = _converted(section.convert)
    return f"""SELECT subject_id, time,
        base || coalesce('//' || CASE WHEN number IS NULL AND result IS NOT NULL THEN result
            ELSE {unit} END, '') AS code,
        {number} AS numeric_value, visit_id,
        {_reason_sql(section)} AS drop_reason
        FROM ({rows})"""


def _unit_sql(section: EventSection, scope: RowScope) -> str:
    if section.unit_template is None:
        return "CAST(NULL AS VARCHAR)"
    return template_sql(section.unit_template, lambda name: scope.column(name, "text"))


def _number_sql(value: ValueSection | None, scope: RowScope) -> str:
    if value is None:
        return "CAST(NULL AS DOUBLE)"
    if value.otherwise == "bad_row":
        return scope.column(value.column, "number")
    text = _value_text(value, scope)
    if scope.mapping.source.decimal_mark == ",":
        text = f"replace({text}, ',', '.')"
    return (
        f"CASE WHEN regexp_full_match({text}, {quote_text(_NUMBER)}) "
        f"THEN TRY_CAST({text} AS DOUBLE) END"
    )


def _result_sql(value: ValueSection | None, scope: RowScope) -> str:
    """A result in words, which becomes part of the code."""
    if value is None or value.otherwise != "code":
        return "CAST(NULL AS VARCHAR)"
    return f"code_part({_value_text(value, scope)})"


def _value_text(value: ValueSection, scope: RowScope) -> str:
    text = scope.column(value.column, "text")
    if value.split is None:
        return text
    return f"nullif(trim(split_part({text}, {quote_text(value.split)}, {value.part})), '')"


def _converted(conversions: tuple[ConversionSection, ...]) -> tuple[str, str]:
    """Unit and number after the first conversion that applies."""
    units, numbers = [], []
    for conversion in conversions:
        when = f"WHEN unit = {quote_text(conversion.from_unit)}"
        if conversion.code is not None:
            when += f" AND base = {quote_text(conversion.code)}"
        units.append(f"{when} THEN {quote_text(conversion.to_unit)}")
        numbers.append(f"{when} THEN number * {conversion.factor!r} + {conversion.offset!r}")
    if not conversions:
        return "unit", "number"
    return f"CASE {' '.join(units)} ELSE unit END", f"CASE {' '.join(numbers)} ELSE number END"


def _reason_sql(section: EventSection) -> str:
    reasons = [
        ("no_subject", "without_subject"),
        ("base IS NULL", "without_code"),
    ]
    if not section.static:
        # Without a time it would be taken for a static event: known from birth.
        reasons.append(("time IS NULL", "without_time"))
    cases = [
        f"WHEN {condition} THEN {quote_text(f'{section.title}_{reason}')}"
        for condition, reason in reasons
    ]
    return f"CASE {' '.join(cases)} END"
