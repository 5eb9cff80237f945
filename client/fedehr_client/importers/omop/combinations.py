"""Which concepts occur together in a row: the few combinations that all codes are made of.

Everything that depends on the vocabulary is settled on them once; rows then only look their
code up.
"""

from dataclasses import dataclass

import duckdb

from fedehr_client.importers.engine.table import SourceTable
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.omop.moments import moment


@dataclass(frozen=True)
class ClinicalTable:
    """One table of clinical events.

    Attributes:
        table: as it is read.
        entity: the word that its concept columns begin with.
        start: what its date columns begin with.
        has_values: it holds value_as_number, value_as_concept_id and unit_concept_id.
        begun: it is read from the view `begun_{name}`, and else from `known_{name}`.
    """

    table: SourceTable
    entity: str
    start: str
    has_values: bool = False
    begun: bool = False

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    @property
    def view(self) -> str:
        """What its rows are read from."""
        return f"{'begun' if self.begun else 'known'}_{self.table.name}"

    def keys(self, row: str, *, source_concepts: bool) -> dict[str, str]:
        """What a row's code depends on, as SQL by the column of `combinations`; 0 is none.

        A unit counts with a number, a value's concept without one.
        """
        source = f"{row}.{self.entity}_source_concept_id" if source_concepts else "0"
        number = f"{row}.value_as_number"
        unit = f"CASE WHEN {number} IS NOT NULL THEN {row}.unit_concept_id END"
        value = f"CASE WHEN {number} IS NULL THEN {row}.value_as_concept_id END"
        keys = {
            "concept_id": f"{row}.{self.entity}_concept_id",
            "source_concept_id": source,
            "unit_concept_id": unit if self.has_values else "0",
            "value_concept_id": value if self.has_values else "0",
        }
        return {name: f"coalesce({sql}, 0)" for name, sql in keys.items()}


def load_combinations(
    workspace: Workspace, tables: tuple[ClinicalTable, ...], *, source_concepts: bool
) -> None:
    """Make the table `combinations`, or add to it: `origin` (a table), the keys, `num` rows."""
    workspace.connection.execute("""
        CREATE TABLE IF NOT EXISTS combinations (origin VARCHAR, concept_id BIGINT,
            source_concept_id BIGINT, unit_concept_id BIGINT, value_concept_id BIGINT,
            num BIGINT)""")
    for each in tables:
        keys = each.keys("e", source_concepts=source_concepts)
        workspace.connection.execute(f"""
            INSERT INTO combinations
            SELECT '{each.name}', {", ".join(keys.values())}, count(*) FROM {each.view} e
            GROUP BY ALL""")


def load_used(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table `used` (concept_id): all that the records name, 0 left out."""
    connection.execute("""
        CREATE TABLE used AS
        SELECT concept_id FROM (
            SELECT unnest([concept_id, source_concept_id, unit_concept_id, value_concept_id])
                AS concept_id FROM combinations
            UNION
            SELECT unnest([admitted_from_concept_id, discharged_to_concept_id])
            FROM known_visit_occurrence)
        WHERE concept_id <> 0 GROUP BY concept_id""")


def clinical_events(each: ClinicalTable, *, source_concepts: bool) -> str:
    """The rows of one table as events; those without a code are none."""
    keys = each.keys("e", source_concepts=source_concepts)
    same = " AND ".join(f"c.{name} = {sql}" for name, sql in keys.items())
    number = "if(c.has_number, e.value_as_number, NULL)" if each.has_values else "NULL::DOUBLE"
    return f"""
        SELECT e.person_id AS subject_id, {moment("e", each.start)} AS time, c.code,
            {number} AS numeric_value, nullif(e.visit_occurrence_id, 0) AS visit_id
        FROM {each.view} e JOIN (FROM coded WHERE origin = '{each.name}') c ON {same}"""
