"""Dictionaries, and what a code's own spelling tells, as the SELECT of the table of codes."""

from fedehr_client.importers.csv.code_sql import template_sql
from fedehr_client.importers.csv.code_template import CodeTemplate
from fedehr_client.importers.csv.columns import ColumnBook
from fedehr_client.importers.csv.dictionary_section import DictionarySection
from fedehr_client.importers.csv.mapping import Mapping
from fedehr_client.importers.csv.quoting import quote_text
from fedehr_client.importers.csv.row_scope import RowScope
from fedehr_client.importers.csv.rows import RowsSection
from fedehr_client.importers.csv.stay_section import END_CODES, START_CODES

_FAMILIES = ", ".join(quote_text(code) for code in (*START_CODES.values(), *END_CODES.values()))
_NO_ROWS = """SELECT CAST(NULL AS VARCHAR) AS code, CAST(NULL AS VARCHAR) AS description,
    CAST(NULL AS VARCHAR[]) AS parents WHERE false"""


def codes_sql(used_codes: str, dictionaries: list[str]) -> str:
    """Rows of `codes.parquet` for the codes in use and all that they can fall back on.

    `LAB//50912//mg/dL` has the parent `LAB//50912`, and its description with the unit.

    Args:
        used_codes: a relation with the column `code`.
        dictionaries: of `dictionary_sql`.
    """
    return f"""WITH dictionary AS (
        SELECT code, min(description) AS description, min(parents) AS parents
        FROM ({" UNION ALL ".join(dictionaries or [_NO_ROWS])})
        WHERE code IS NOT NULL GROUP BY code
    ), pieces AS (
        SELECT string_split(code, '//') AS parts FROM {used_codes}
    ), levels AS (
        SELECT parts, unnest(range(1, len(parts) + 1)) AS level FROM pieces
    ), spelled AS (
        SELECT DISTINCT array_to_string(parts[:level], '//') AS code, parts[level] AS last_part,
            CASE WHEN level > 2 OR (level = 2 AND parts[1] IN ({_FAMILIES}))
                THEN array_to_string(parts[:level - 1], '//') END AS parent
        FROM levels
    ), listed AS (
        SELECT coalesce(spelled.code, dictionary.code) AS code, dictionary.description,
            dictionary.parents, spelled.parent, spelled.last_part
        FROM spelled FULL JOIN dictionary ON spelled.code = dictionary.code
    )
    SELECT listed.code,
        coalesce(listed.description, upper.description || ' (' || listed.last_part || ')')
            AS description,
        nullif(list_distinct(list_concat(coalesce(listed.parents, []),
            CASE WHEN listed.parent IS NULL THEN [] ELSE [listed.parent] END)), []) AS parent_codes,
        CAST(NULL AS FLOAT) AS delay_hours
    FROM listed LEFT JOIN dictionary AS upper ON upper.code = listed.parent"""


def dictionary_sql(section: DictionarySection, mapping: Mapping, book: ColumnBook) -> str:
    """`code`, `description` and `parents` of each row of one dictionary."""
    scope = RowScope(mapping, RowsSection(table=section.table, where=section.where), book)

    def read_text(name: str) -> str:
        return scope.column(name, "text")

    texts = ", ".join(read_text(name) for name in section.description)
    description = f"nullif(concat_ws(', ', {texts}), '')" if texts else "CAST(NULL AS VARCHAR)"
    parents = [template_sql(CodeTemplate.parse(text), read_text) for text in section.parents]
    listed = f"list_filter([{', '.join(parents)}], lambda parent: parent IS NOT NULL)"
    return f"""SELECT {template_sql(CodeTemplate.parse(section.code), read_text)} AS code,
        {description} AS description, CAST({listed if parents else "[]"} AS VARCHAR[]) AS parents
        {scope.source()}"""
