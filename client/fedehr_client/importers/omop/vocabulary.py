"""The OMOP vocabulary, cut to the concepts that the records use and their ancestors.

Whole vocabulary tables hold many million rows; what is kept here grows with the concepts in
use alone.
"""

from collections.abc import Callable

import duckdb

from fedehr_client.importers.engine.table import SourceTable
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.omop import tables

OpenTable = Callable[[SourceTable], bool]
"""Makes the view of a table, empty where the source has none; says whether it has one."""

UPWARDS = (
    "Is a", "RxNorm is a", "RxNorm has ing", "Consists of", "Tradename of", "RxNorm - ATC",
    "RxNorm - ATC pr lat",
)  # fmt: skip
"""Relationships of a concept with a wider one."""
_IS_STANDARD = "coalesce(upper(standard_concept) = 'S', false)"
_STARTS = "(SELECT concept_id FROM used UNION SELECT standard_id FROM maps)"


def load_vocabulary(workspace: Workspace, open_table: OpenTable) -> bool:
    """Make the tables about the concepts in `used` (concept_id).

    - `concepts` (concept_id, code, name, domain_id, vocabulary_id, concept_class_id,
      concept_code, is_standard): the used ones, what they map to, and all ancestors;
    - `maps` (concept_id, standard_id): the used ones by 'Maps to', but those onto themselves;
    - `lineage` (descendant, ancestor) at any distance, `edges` (child, parent).

    Returns:
        Whether the source has a table of concepts; without one all of these are empty.

    Raises:
        DataError: a table is malformed.
    """
    connection = workspace.connection
    has_concepts = open_table(tables.CONCEPT)
    has_ancestors = has_concepts and open_table(tables.CONCEPT_ANCESTOR)
    # By far the largest table: read only where it can add anything.
    has_relationships = (
        has_concepts
        and (not has_ancestors or _uses_other_than_standard(connection))
        and open_table(tables.CONCEPT_RELATIONSHIP)
    )
    connection.execute("CREATE TABLE maps (concept_id BIGINT, standard_id BIGINT)")
    connection.execute("CREATE TABLE lineage (descendant BIGINT, ancestor BIGINT)")
    connection.execute("CREATE TABLE edges (child BIGINT, parent BIGINT)")
    if has_relationships:
        connection.execute(_MAPS)
    if has_ancestors:
        connection.execute(_LINEAGE_OF_ANCESTORS)
        connection.execute(_EDGES_OF_ANCESTORS)
    if has_relationships:
        _climb_relationships(connection)
    connection.execute(_CONCEPTS)
    return has_concepts


def _uses_other_than_standard(connection: duckdb.DuckDBPyConnection) -> bool:
    query = (
        f"SELECT count(*) FROM concept SEMI JOIN used USING (concept_id) WHERE NOT {_IS_STANDARD}"
    )
    return bool(connection.execute(query).fetchall()[0][0])


def _climb_relationships(connection: duckdb.DuckDBPyConnection) -> None:
    """For what `concept_ancestor` does not know: source concepts, or all where it is missing."""
    connection.execute(_UPWARDS_TABLE)
    connection.execute(_CLIMBED_TABLE)
    connection.execute("INSERT INTO lineage SELECT start, node FROM climbed WHERE start <> node")
    connection.execute("""
        INSERT INTO edges SELECT DISTINCT child, parent FROM upwards
        SEMI JOIN climbed ON climbed.node = upwards.child WHERE child <> parent""")
    connection.execute("DROP TABLE upwards")
    connection.execute("DROP TABLE climbed")


_MAPS = """
    INSERT INTO maps
    SELECT DISTINCT r.concept_id_1, r.concept_id_2 FROM concept_relationship r
    SEMI JOIN used u ON u.concept_id = r.concept_id_1
    WHERE r.relationship_id = 'Maps to' AND r.invalid_reason IS NULL
        AND r.concept_id_1 <> r.concept_id_2"""

_LINEAGE_OF_ANCESTORS = f"""
    INSERT INTO lineage
    SELECT DISTINCT descendant_concept_id, ancestor_concept_id FROM concept_ancestor a
    SEMI JOIN {_STARTS} s ON s.concept_id = a.descendant_concept_id
    WHERE descendant_concept_id <> ancestor_concept_id"""

_EDGES_OF_ANCESTORS = f"""
    INSERT INTO edges
    SELECT DISTINCT descendant_concept_id, ancestor_concept_id FROM concept_ancestor a
    SEMI JOIN (FROM {_STARTS} UNION SELECT ancestor FROM lineage) s
        ON s.concept_id = a.descendant_concept_id
    WHERE min_levels_of_separation = 1 AND descendant_concept_id <> ancestor_concept_id"""

_UPWARDS_TABLE = f"""
    CREATE TEMP TABLE upwards AS
    SELECT concept_id_1 AS child, concept_id_2 AS parent FROM concept_relationship
    WHERE relationship_id IN {UPWARDS} AND invalid_reason IS NULL
    UNION ALL
    SELECT concept_id_2, concept_id_1 FROM concept_relationship
    WHERE relationship_id = 'Subsumes' AND invalid_reason IS NULL"""

# UNION keeps each pair once, so a circle in the source comes to an end.
_CLIMBED_TABLE = f"""
    CREATE TEMP TABLE climbed AS
    WITH RECURSIVE climb(start, node) AS (
        SELECT concept_id, concept_id FROM {_STARTS} s
        ANTI JOIN lineage l ON l.descendant = s.concept_id
        UNION
        SELECT climb.start, upwards.parent FROM climb JOIN upwards ON upwards.child = climb.node)
    FROM climb"""

_CONCEPTS = f"""
    CREATE TABLE concepts AS
    SELECT concept_id, min(vocabulary_id || '//' || concept_code) AS code,
        min(concept_name) AS name, min(domain_id) AS domain_id,
        min(vocabulary_id) AS vocabulary_id, min(concept_class_id) AS concept_class_id,
        min(concept_code) AS concept_code,
        -- A vocabulary without the column does not tell them apart: all count as standard.
        bool_or({_IS_STANDARD}) OR NOT (SELECT bool_or({_IS_STANDARD}) FROM concept) AS is_standard
    FROM concept
    SEMI JOIN (FROM {_STARTS} UNION SELECT ancestor FROM lineage) kept USING (concept_id)
    WHERE concept_id <> 0 GROUP BY concept_id"""
