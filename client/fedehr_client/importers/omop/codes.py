"""What `codes.parquet` says of the codes: names, parents, and which are known late."""

import duckdb

BILLING_DELAY_HOURS = 72.0
BILLING_VOCABULARIES = (
    "ICD9", "ICD10", "CIM10", "KCD7", "OPS", "OPCS4", "CCAM", "CPT4", "HCPCS", "DRG", "APC",
    "Revenue Code", "UB04", "EDI",
)  # fmt: skip
"""Beginnings of the names of vocabularies that are coded after the stay, wherever they stand."""


def load_codes(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table `codes`: code, description, parent_codes, delay_hours.

    Of several concepts with one code the one with the lowest number counts; parents are in order
    of their codes.
    """
    connection.execute(_PARENTS)
    billing = " OR ".join(f"starts_with(code, '{name}')" for name in BILLING_VOCABULARIES)
    connection.execute(f"""
        CREATE TABLE codes AS
        WITH late AS (
            SELECT DISTINCT base_code FROM fated WHERE origin = 'condition_occurrence'),
        named AS ({_NAMED})
        SELECT code, description, parent_codes,
            CASE WHEN {billing} OR base_code IN (FROM late) THEN {BILLING_DELAY_HOURS} END
                AS delay_hours
        FROM named""")


# A drug falls back on its ingredients and those on ATC, past the forms and strengths between.
_PARENTS = """
    CREATE TABLE parents AS
    WITH choices AS (
        SELECT l.descendant AS child, l.ancestor AS parent, 0 AS rank
        FROM lineage l
        JOIN concepts d ON d.concept_id = l.descendant
        JOIN concepts i ON i.concept_id = l.ancestor
        WHERE starts_with(d.vocabulary_id, 'RxNorm') AND d.concept_class_id <> 'Ingredient'
            AND starts_with(i.vocabulary_id, 'RxNorm') AND i.concept_class_id = 'Ingredient'
        UNION ALL
        SELECT e.child, e.parent, if(p.vocabulary_id = 'ATC', 1, 2)
        FROM edges e JOIN concepts p ON p.concept_id = e.parent)
    SELECT child AS concept_id, list(DISTINCT code ORDER BY code) AS parent_codes
    FROM (SELECT * FROM choices QUALIFY rank = min(rank) OVER (PARTITION BY child))
    JOIN concepts ON concepts.concept_id = parent
    GROUP BY child"""

_NAMED = """
    SELECT code, code AS base_code, min_by(name, concept_id) AS description,
        coalesce(min_by(parent_codes, concept_id), []) AS parent_codes
    FROM concepts LEFT JOIN parents USING (concept_id) GROUP BY code
    UNION ALL
    SELECT f.code, f.base_code,
        min(c.name || if(f.unit IS NULL, '', ' (' || f.unit || ')')
            || if(f.value_name IS NULL, '', ': ' || f.value_name)),
        [f.base_code]
    FROM fated f LEFT JOIN concepts c ON c.code = f.base_code
    WHERE f.code <> f.base_code GROUP BY f.code, f.base_code
    UNION ALL
    SELECT DISTINCT base_code, base_code, NULL, [] FROM fated
    WHERE base_code NOT IN (SELECT code FROM concepts)
    UNION ALL
    SELECT kind || '//' || label, NULL, NULL, [kind] FROM (
        SELECT unnest(['HOSPITAL_ADMISSION', 'HOSPITAL_DISCHARGE', 'ICU_ADMISSION',
            'ICU_DISCHARGE', 'EMERGENCY_VISIT', 'OUTPATIENT_VISIT']) AS kind)
    CROSS JOIN (SELECT label FROM places UNION SELECT label FROM visit_kinds
        UNION SELECT unnest(['EMERGENCY', 'unknown']))"""
