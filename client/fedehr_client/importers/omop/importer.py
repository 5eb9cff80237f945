"""`OmopImporter`: CDM tables in, a plan for the engine out."""

from dataclasses import dataclass, field
from functools import partial

from fedehr_client.importers.engine.source import RecordsPlan, ReportStep
from fedehr_client.importers.engine.table import SourceTable
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.omop import tables
from fedehr_client.importers.omop.address import DatabaseAddress, is_database
from fedehr_client.importers.omop.codes import load_codes
from fedehr_client.importers.omop.combinations import (
    ClinicalTable,
    clinical_events,
    load_combinations,
    load_used,
)
from fedehr_client.importers.omop.periods import period_events
from fedehr_client.importers.omop.persons import (
    PERSON_EVENTS,
    death_events,
    load_known_rows,
    load_persons,
)
from fedehr_client.importers.omop.resolution import load_resolution
from fedehr_client.importers.omop.source import TableSource, open_or_empty, open_source
from fedehr_client.importers.omop.visit_kinds import load_visit_kinds
from fedehr_client.importers.omop.visits import (
    load_begun_visits,
    load_stretches,
    visit_events,
)
from fedehr_client.importers.omop.vocabulary import load_vocabulary
from fedehr_shared.errors import DataError

CLINICAL = (
    ClinicalTable(tables.CONDITION_OCCURRENCE, "condition", "condition_start"),
    ClinicalTable(tables.DRUG_EXPOSURE, "drug", "drug_exposure_start"),
    ClinicalTable(tables.PROCEDURE_OCCURRENCE, "procedure", "procedure"),
    ClinicalTable(tables.DEVICE_EXPOSURE, "device", "device_exposure_start"),
    ClinicalTable(tables.MEASUREMENT, "measurement", "measurement", has_values=True),
    ClinicalTable(tables.OBSERVATION, "observation", "observation", has_values=True),
    ClinicalTable(tables.SPECIMEN, "specimen", "specimen"),
)
VISITS = (
    ClinicalTable(tables.VISIT_OCCURRENCE, "visit", "visit_start", begun=True),
    ClinicalTable(tables.VISIT_DETAIL, "visit_detail", "visit_detail_start", begun=True),
)
"""Visits of no known kind are events under their concepts' own codes."""
_TABLES_OF_EVENTS = tuple(each.table for each in (*CLINICAL, *VISITS))


@dataclass(frozen=True)
class OmopImporter:
    """OMOP CDM 5.3 or 5.4.

    Attributes:
        source: a folder of CSV(.gz) or Parquet files, or a `postgresql://` URL; only read.
        schemas: of the database, in the order in which tables are looked up.
        source_concepts: take the source's own concept where it is known. They differ from
            hospital to hospital, so a federation shares few of them.
        keep_unmapped: keep rows of concept 0 under one code a table.
        kind: the `source` of `import.json`.
    """

    source: str = field(repr=False)
    schemas: tuple[str, ...] = ("public",)
    source_concepts: bool = False
    keep_unmapped: bool = False
    kind: str = "omop"

    def plan(self, workspace: Workspace, report_step: ReportStep) -> RecordsPlan:
        """Read the tables and say how they become events.

        Raises:
            UsageError: the database's URL is malformed.
            ConfigError: a schema is missing or may not be read.
            NetworkError: the database cannot be reached.
            DataError: a table is missing or malformed.
        """
        with open_source(self.source, self.schemas) as source:
            open_table = partial(_open, source, workspace, report_step)
            if not open_table(tables.PERSON):
                raise DataError(
                    f"{self._shown_source} holds no table 'person'. Name a folder of OMOP CDM "
                    "tables, or a database and its --schema."
                )
            load_persons(workspace)
            for table in (tables.DEATH, tables.OBSERVATION_PERIOD, *_TABLES_OF_EVENTS):
                open_table(table)
                load_known_rows(workspace, table.name)
            report_step("collecting concepts")
            load_begun_visits(workspace)
            self._load_combinations(workspace)
            load_vocabulary(workspace, open_table)
        report_step("settling codes")
        load_visit_kinds(workspace.connection)
        load_stretches(workspace)
        load_resolution(workspace, keep_unmapped=self.keep_unmapped)
        load_codes(workspace.connection)
        return RecordsPlan(
            events=(
                PERSON_EVENTS,
                death_events(workspace),
                period_events(workspace),
                *visit_events(),
                *(clinical_events(each, source_concepts=self.source_concepts) for each in CLINICAL),
                *(clinical_events(each, source_concepts=False) for each in VISITS),
            ),
            codes="FROM codes",
            dataset={"dataset_name": "OMOP CDM"},
        )

    @property
    def _shown_source(self) -> str:
        return str(DatabaseAddress.parse(self.source)) if is_database(self.source) else self.source

    def _load_combinations(self, workspace: Workspace) -> None:
        load_combinations(workspace, CLINICAL, source_concepts=self.source_concepts)
        load_combinations(workspace, VISITS, source_concepts=False)
        load_used(workspace.connection)


def _open(
    source: TableSource, workspace: Workspace, report_step: ReportStep, table: SourceTable
) -> bool:
    report_step(f"reading table {table.name}")
    return open_or_empty(source, workspace, table)
