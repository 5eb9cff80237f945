"""Which code each combination of concepts becomes, and why some become none."""

from fedehr_client.importers.engine.workspace import Workspace

UNMAPPED = "NO_MATCHING_CONCEPT"


def load_resolution(workspace: Workspace, *, keep_unmapped: bool) -> None:
    """Make the table `coded`: combinations with their codes; what has none is counted.

    - A standard concept is VOCABULARY//CONCEPT_CODE. Another becomes what it maps to (each
      of several), or stays itself where it maps to nothing.
    - A concept that the table of concepts lacks is OMOP//concept_id.
    - concept_id 0 is left out, or TABLE//NO_MATCHING_CONCEPT with `keep_unmapped`: then
      without a value, because the code means many things.
    - A number's unit, or else the value's concept, follows after //.
    """
    connection = workspace.connection
    connection.execute(_EVENT_CODES)
    unmapped = f"upper(c.origin) || '//{UNMAPPED}'" if keep_unmapped else "CAST(NULL AS VARCHAR)"
    connection.execute(_FATED.format(unmapped=unmapped))
    connection.execute("CREATE VIEW coded AS FROM fated WHERE code IS NOT NULL")
    for origin, fate, num, has_code in connection.execute(_FATES).fetchall():
        (workspace.repairs if has_code else workspace.left_out)[f"{origin}_{fate}"] += num


_EVENT_CODES = """
    CREATE TABLE event_codes AS
    SELECT concept_id, code, CAST(NULL AS VARCHAR) AS fate FROM concepts WHERE is_standard
    UNION ALL
    SELECT concept_id, s.code, 'mapped_to_standard' FROM concepts o JOIN maps USING (concept_id)
    JOIN concepts s ON s.concept_id = maps.standard_id AND s.is_standard
    WHERE NOT o.is_standard
    UNION ALL
    SELECT o.concept_id, o.code, 'not_standard' FROM concepts o
    WHERE NOT o.is_standard AND o.concept_id NOT IN (
        SELECT m.concept_id FROM maps m
        JOIN concepts s ON s.concept_id = m.standard_id AND s.is_standard)"""

_FATED = """
    CREATE TABLE fated AS
    SELECT c.origin, c.concept_id, c.source_concept_id, c.unit_concept_id, c.value_concept_id,
        c.num, s.code IS NOT NULL OR c.concept_id <> 0 AS has_number,
        coalesce(s.code, e.code, CASE WHEN c.concept_id <> 0 THEN 'OMOP//' || c.concept_id END,
            {unmapped}) AS base_code,
        CASE WHEN c.unit_concept_id <> 0
            THEN coalesce(u.concept_code, CAST(c.unit_concept_id AS VARCHAR)) END AS unit,
        CASE WHEN c.value_concept_id <> 0
            THEN coalesce(v.code, 'OMOP//' || c.value_concept_id) END AS value,
        v.name AS value_name,
        if(has_number, concat_ws('//', base_code, unit, value), base_code) AS code,
        CASE WHEN s.code IS NOT NULL THEN NULL
             WHEN c.concept_id = 0 THEN 'without_concept'
             WHEN e.code IS NULL THEN 'concept_not_in_vocabulary'
             ELSE e.fate END AS fate
    FROM combinations c
    LEFT JOIN concepts s ON s.concept_id = c.source_concept_id
    LEFT JOIN event_codes e ON e.concept_id = c.concept_id AND s.code IS NULL
    LEFT JOIN concepts u ON u.concept_id = c.unit_concept_id
    LEFT JOIN concepts v ON v.concept_id = c.value_concept_id"""

_FATES = """
    SELECT origin, fate, sum(num), bool_and(code IS NOT NULL) FROM (
        SELECT origin, concept_id, source_concept_id, unit_concept_id, value_concept_id, fate,
            any_value(num) AS num, min(code) AS code
        FROM fated WHERE fate IS NOT NULL GROUP BY ALL)
    GROUP BY ALL ORDER BY ALL"""
