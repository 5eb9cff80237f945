"""From a source's text to a typed value, as SQL, by stated rules; what breaks them is bad.

integer  digits with a sign, also with zeros after a point ("7.0", as pandas writes them)
number   decimals with the source's decimal mark, also with an exponent; no thousands
time     ISO 8601 and the formats below; with an offset only where a time zone is set
date     the same, its time of day dropped
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from fedehr_client.importers.engine.table import FIRST_YEAR, Column, SourceTable

DATE_FORMATS = ("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d", "%d.%m.%Y", "%d-%b-%Y")
"""`01/02/2020` is not among them: it means two days, so its column must state a format."""
_CLOCKS = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f")
_FINE_CLOCK = "%H:%M:%S.%n"
"""More than microseconds. Apart: it makes DuckDB's result end in the year 2262."""
_LOCAL = (
    *(f"{date} {clock}" for date in DATE_FORMATS for clock in _CLOCKS),
    *(f"%Y-%m-%dT{clock}" for clock in _CLOCKS),
    "%Y%m%d%H%M%S",
    "%Y%m%d%H%M",
)
_LOCAL_FINE = (*(f"{date} {_FINE_CLOCK}" for date in DATE_FORMATS), f"%Y-%m-%dT{_FINE_CLOCK}")
_WITH_OFFSET = tuple(f"%Y-%m-%d{sep}{clock}%z" for sep in " T" for clock in _CLOCKS)
_WITH_OFFSET_FINE = tuple(f"%Y-%m-%d{sep}{_FINE_CLOCK}%z" for sep in " T")
_OFFSET_TEXT = r".*\d{2}:\d{2}.* ?(Z|UTC|[+-]\d{2}(:?\d{2})?)"
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT",
             "UINTEGER", "UBIGINT", "UHUGEINT"}  # fmt: skip
_EXACT_BELOW = {"DOUBLE": 2**53, "FLOAT": 2**24}
"""Of larger whole numbers several share one value: two subjects would become one."""
_END_OF_DAY = "INTERVAL 86399 SECOND"


@dataclass(frozen=True)
class TypedColumn:
    """One column on its way through three layers of SELECT.

    Attributes:
        steps: (name, SQL over the source or earlier steps), each a layer deeper.
        value: SQL of the value over the steps.
        problems: (what is wrong, SQL that is true where it is).
    """

    steps: tuple[tuple[str, str], ...]
    value: str
    problems: tuple[tuple[str, str], ...]


def type_column(
    table: SourceTable, column: Column, source: str, source_type: str, *, has_zone: bool
) -> TypedColumn:
    """The rules for `column`, read from the SQL `source` of DuckDB's type `source_type`."""
    # A column's own name may be a word of SQL, or no word at all.
    name = f"_{column.name.encode().hex()}"
    given = (f"{name}_given", _given(source, source_type, table.null_markers))
    if column.kind in ("time", "date"):
        typed = _moment(table, column, name, source_type, has_zone=has_zone)
    else:
        typed = _plain(table, column, name, source_type)
    steps = (given, *typed.steps)
    problems = typed.problems
    if column.required:
        problems = ((f"{column.name} is empty", f"{given[0]} IS NULL"), *problems)
    return TypedColumn(steps, typed.value, problems)


def absent_column(column: Column) -> TypedColumn:
    """A column that the source does not have."""
    types = {"integer": "BIGINT", "number": "DOUBLE", "text": "VARCHAR", "time": "TIMESTAMP"}
    return TypedColumn((), f"CAST(NULL AS {types.get(column.kind, 'DATE')})", ())


def _given(source: str, source_type: str, null_markers: tuple[str, ...]) -> str:
    if source_type == "VARCHAR":
        # Trimming every text is four times slower than looking at both ends first.
        text = f"""CASE WHEN {source} = '' THEN NULL
            WHEN ord({source}) <= 32 OR ord(right({source}, 1)) <= 32
            THEN nullif(trim({source}, ' \t\r\n'), '') ELSE {source} END"""
        for marker in null_markers:
            text = f"nullif({text}, {quote(marker)})"
        return text
    if source_type in ("DOUBLE", "FLOAT"):
        return f"CASE WHEN NOT isnan({source}) THEN {source} END"
    return source


def _text(given: str, source_type: str) -> str:
    return given if source_type == "VARCHAR" else f"CAST({given} AS VARCHAR)"


def _plain(table: SourceTable, column: Column, name: str, source_type: str) -> TypedColumn:
    given = f"{name}_given"
    text = _text(given, source_type)
    if column.kind == "text":
        return TypedColumn((), text, ())
    if column.kind == "number":
        value = f"TRY_CAST({given} AS DOUBLE)"
        if source_type == "VARCHAR":
            value = _decimal(text, table.decimal_mark)
        problem = f"{column.name} is not a number"
    else:
        value = _whole(given, text, source_type)
        problem = f"{column.name} is not a whole number"
    step = (f"{name}_value", value)
    return TypedColumn((step,), step[0], ((problem, _failed(given, step[0])),))


def _decimal(text: str, mark: str) -> str:
    other = "," if mark == "." else "."
    plain = text if mark == "." else f"replace({text}, '{mark}', '.')"
    return f"""CASE WHEN NOT contains({text}, '_') AND NOT contains({text}, '{other}')
        THEN TRY_CAST({plain} AS DOUBLE) END"""


def _whole(given: str, text: str, source_type: str) -> str:
    if source_type in _INTEGERS:
        return f"TRY_CAST({given} AS BIGINT)"
    if source_type in _EXACT_BELOW:
        return f"""CASE WHEN {given} = trunc({given}) AND abs({given}) < {_EXACT_BELOW[source_type]}
            THEN CAST({given} AS BIGINT) END"""
    if source_type.startswith("DECIMAL"):
        return f"CASE WHEN {given} = trunc({given}) THEN TRY_CAST({given} AS BIGINT) END"
    cast = f"TRY_CAST({text} AS BIGINT)"
    # Comparing with the number written again is quicker than matching every text.
    return f"""CASE WHEN CAST({cast} AS VARCHAR) = {text} THEN {cast}
        WHEN regexp_full_match({text}, '[+-]?[0-9]{{1,19}}(\\.0*)?') THEN
        TRY_CAST(regexp_extract({text}, '[+-]?[0-9]+') AS BIGINT) END"""


def _moment(
    table: SourceTable, column: Column, name: str, source_type: str, *, has_zone: bool
) -> TypedColumn:
    given = f"{name}_given"
    text = _text(given, source_type)
    local, zoned = f"{name}_local", f"{name}_zoned"
    steps: tuple[tuple[str, str], ...]
    if source_type == "DATE":
        steps = ((local, f"CAST({given} AS TIMESTAMP) + {_END_OF_DAY}"),)
    elif source_type == "TIMESTAMP WITH TIME ZONE":
        steps = ((zoned, f"timezone('UTC', {given})"),)
    elif source_type.startswith("TIMESTAMP"):
        steps = ((local, f"CAST({given} AS TIMESTAMP)"),)
    else:
        steps = _parsed(column, text, local, zoned)
    names = [step[0] for step in steps]
    problems = []
    values = []
    if zoned in names:
        values.append(zoned)
        if not has_zone:
            problem = f"{column.name} has an offset from UTC, and no time zone is set"
            problems.append((problem, f"{zoned} IS NOT NULL"))
    if local in names:
        values.append(local if column.kind == "date" else f"local_to_utc({local})")
    value = f"coalesce({', '.join(values)})"
    if column.kind == "date":
        value = f"CAST({value} AS DATE)"
    step = (f"{name}_value", value)
    problems.append((f"{column.name} is not a {column.kind}", _failed(given, step[0])))
    problems.append(_out_of_range(table, column, step[0]))
    return TypedColumn((*steps, step), step[0], tuple(problems))


def _parsed(column: Column, text: str, local: str, zoned: str) -> tuple[tuple[str, str], ...]:
    if column.formats:
        stated = {each: _stated(text, each) for each in column.formats}
        with_zone = [sql for each, sql in stated.items() if _has_zone(each)]
        without = [sql for each, sql in stated.items() if not _has_zone(each)]
        steps = ((local, without), (zoned, with_zone))
        return tuple((step, f"coalesce({', '.join(sql)})") for step, sql in steps if sql)
    # The two usual forms first: trying all formats on each row is slow.
    known = f"""CASE
        WHEN {text} LIKE '____-__-__' THEN
            CAST(TRY_CAST({text} AS DATE) AS TIMESTAMP) + {_END_OF_DAY}
        WHEN {text} LIKE '____-__-__ __:__:__' THEN TRY_CAST({text} AS TIMESTAMP)
        -- DuckDB takes "infinity" and "epoch" for dates, in any format.
        WHEN NOT regexp_matches({text}, '[0-9]') THEN NULL
        ELSE coalesce(try_strptime({text}, {_list(_LOCAL)}),
            CAST(try_strptime({text}, {_list(_LOCAL_FINE)}) AS TIMESTAMP),
            try_strptime({text}, {_list(DATE_FORMATS)}) + {_END_OF_DAY}) END"""
    moment = f"regexp_replace({text}, ' ?(Z|UTC)$', '+00:00')"
    # As SQL Server writes a datetimeoffset.
    moment = rf"regexp_replace({moment}, ' ([+-]\d{{2}}:?\d{{2}})$', '\1')"
    offset = f"""CASE WHEN {local} IS NULL AND regexp_full_match({text}, '{_OFFSET_TEXT}')
        THEN timezone('UTC', coalesce(try_strptime({moment}, {_list(_WITH_OFFSET)}),
            CAST(try_strptime({moment}, {_list(_WITH_OFFSET_FINE)}) AS TIMESTAMPTZ))) END"""
    return ((local, known), (zoned, offset))


def _stated(text: str, format: str) -> str:
    parsed = f"try_strptime(regexp_extract({text}, '.*[0-9].*'), {quote(format)})"
    if _has_zone(format):
        return f"timezone('UTC', {parsed})"
    has_clock = any(part in format.replace("%-", "%") for part in ("%H", "%I", "%c", "%X"))
    return parsed if has_clock else f"{parsed} + {_END_OF_DAY}"


def _has_zone(format: str) -> bool:
    return "%z" in format or "%Z" in format


def _out_of_range(table: SourceTable, column: Column, value: str) -> tuple[str, str]:
    now = datetime.now(UTC)
    last = f"{table.last_year + 1}-01-01" if table.last_year else f"{now.year + 1}{now:-%m}-01"
    problem = f"{column.name} lies before {FIRST_YEAR} or in the future"
    return problem, f"{value} < '{FIRST_YEAR}-01-01' OR {value} >= '{last}'"


def _failed(given: str, value: str) -> str:
    return f"{given} IS NOT NULL AND {value} IS NULL"


def _list(texts: tuple[str, ...]) -> str:
    return f"[{', '.join(map(quote, texts))}]"


def quote(text: str) -> str:
    """`text` as a SQL string."""
    return "'" + text.replace("'", "''") + "'"
