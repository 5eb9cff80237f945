"""Templates of codes as SQL."""

from collections.abc import Callable

from fedehr_client.importers.csv.code_template import (
    SEPARATOR,
    CodeField,
    CodePart,
    CodeTemplate,
    Form,
)
from fedehr_client.importers.csv.quoting import quote_text

MOST_CHARACTERS = 200
"""A longer part is free text, not a code."""
MACROS = rf"""
CREATE OR REPLACE MACRO tidy(x) AS rtrim(ltrim(regexp_replace(regexp_replace(
    x, '[\pZ\pC\s]+', ' ', 'g'), '/{{2,}}', '/', 'g')), ' /');
CREATE OR REPLACE MACRO code_part(x) AS CASE
    WHEN x = '' OR length(x) > {MOST_CHARACTERS} THEN NULL
    WHEN regexp_matches(x, '[^ -~]|//|  |^ |[ /]$') THEN nullif(tidy(x), '')
    ELSE x END;
CREATE OR REPLACE MACRO plain_code(x) AS upper(regexp_replace(x, '[\pZ\pC\s.]+', '', 'g'));
CREATE OR REPLACE MACRO dotted(x, n) AS
    CASE WHEN length(x) > n THEN x[:n] || '.' || x[n + 1:] ELSE x END;
"""
"""`code_part`: blanks and control characters become one blank, `//` one stroke; most cells
need neither, and are told by one quick look."""

_FORMS: dict[Form, str] = {
    "icd9cm": "dotted(plain_code({0}), CASE WHEN plain_code({0})[1] = 'E' THEN 4 ELSE 3 END)",
    "icd9proc": "dotted(plain_code({0}), 2)",
    "icd10cm": "dotted(plain_code({0}), 3)",
    "lower": "lower({0})",
    "upper": "upper({0})",
}

ReadText = Callable[[str], str]
"""From a column as the mapping names it to the SQL of its text."""


def template_sql(template: CodeTemplate, read_text: ReadText) -> str:
    """The template's code; NULL where a column that it needs is empty."""
    first, *rest = (_part_sql(part, read_text) for part in template.parts)
    pieces = [first[0]]
    for sql, optional in rest:
        piece = f"{quote_text(SEPARATOR)} || {sql}"
        pieces.append(f"coalesce({piece}, '')" if optional else piece)
    return f"({' || '.join(pieces)})"


def _part_sql(part: CodePart, read_text: ReadText) -> tuple[str, bool]:
    """The part, and whether it is left out when it is NULL."""
    optional = any(isinstance(piece, CodeField) and piece.optional for piece in part)
    pieces = [
        _field_sql(piece, read_text) if isinstance(piece, CodeField) else quote_text(piece)
        for piece in part
    ]
    return f"({' || '.join(pieces)})", optional


def _field_sql(field: CodeField, read_text: ReadText) -> str:
    text = read_text(field.column)
    if field.form is not None:
        text = _FORMS[field.form].format(text)
    cleaned = f"code_part({text})"
    return f"coalesce({cleaned}, {quote_text(field.default)})" if field.default else cleaned
