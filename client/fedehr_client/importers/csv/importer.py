"""`CsvImporter`: a source folder and a mapping in, a plan for the engine out."""

from dataclasses import dataclass
from pathlib import Path

from fedehr_client.identity import IdentityHash
from fedehr_client.importers.csv.code_sql import MACROS
from fedehr_client.importers.csv.dictionary_sql import codes_sql
from fedehr_client.importers.csv.mapping import Mapping
from fedehr_client.importers.csv.mapping_sql import MappingSql
from fedehr_client.importers.csv.number_functions import register_numbers
from fedehr_client.importers.csv.tables import find_tables, join_tables
from fedehr_client.importers.engine.csv_file import CsvFormat
from fedehr_client.importers.engine.load import open_table
from fedehr_client.importers.engine.source import RecordsPlan, ReportStep
from fedehr_client.importers.engine.workspace import Workspace

COUNTS = "mapped_counts"
"""Table of `query`, `code`, `drop_reason` and `num`: what became of every row."""


@dataclass(frozen=True)
class CsvImporter:
    """Tables as a hospital has them.

    Attributes:
        source: the folder with the tables; only read.
        mapping: how they become events.
        mapping_folder: where the mapping lies, and the key that it names.
        kind: the `source` of `import.json`.
    """

    source: Path
    mapping: Mapping
    mapping_folder: Path
    kind: str = "csv"

    @property
    def timezone(self) -> str | None:
        """The zone that the mapping states."""
        return self.mapping.source.timezone

    def plan(self, workspace: Workspace, report_step: ReportStep) -> RecordsPlan:
        """Read the tables and say how they become events.

        Raises:
            ConfigError: the key of the subjects' numbers is missing.
            DataError: a table or column is missing or malformed.
        """
        queries = self.prepare(workspace, report_step)
        for reason, num in workspace.connection.execute(
            f"SELECT drop_reason, sum(num) FROM {COUNTS} WHERE drop_reason IS NOT NULL GROUP BY 1"
        ).fetchall():
            workspace.left_out[reason] += int(num)
        for table, num in queries.left_out.items():
            workspace.left_out[f"mapping_sections_without_table_{table}"] += num
        used = f"(SELECT DISTINCT code FROM {COUNTS} WHERE drop_reason IS NULL)"
        return RecordsPlan(
            events=tuple(
                f"SELECT * EXCLUDE (drop_reason) FROM ({query.sql}) WHERE drop_reason IS NULL"
                for query in queries.events
            ),
            codes=codes_sql(used, queries.dictionaries),
            delays=tuple(
                (event.template.prefix, event.delay_hours)
                for event in self.mapping.events
                if event.delay_hours
            ),
            dataset={
                "dataset_name": self.mapping.source.name,
                "etl_name": f"fedehr-client import {self.kind}",
            },
        )

    def prepare(self, workspace: Workspace, report_step: ReportStep) -> MappingSql:
        """Read the tables, and count in `COUNTS` what becomes of their rows.

        Raises:
            ConfigError: the key of the subjects' numbers is missing.
            DataError: a table or column is missing or malformed.
        """
        if self.mapping.subject.key_file is not None:
            key = IdentityHash.read(self.mapping_folder / self.mapping.subject.key_file)
            register_numbers(workspace.connection, key)
        files = find_tables(self.source, self.mapping)
        queries = MappingSql(self.mapping, frozenset(files))
        source = self.mapping.source
        for table in queries.book.tables(self.mapping):
            report_step(f"reading table {table.name}")
            open_table(
                workspace, table, files[table.name], CsvFormat(source.encoding, source.delimiter)
            )
        workspace.connection.execute(MACROS)
        join_tables(workspace, queries.book)
        self._count(workspace, queries, report_step)
        return queries

    def _count(self, workspace: Workspace, queries: MappingSql, report_step: ReportStep) -> None:
        workspace.connection.execute(
            f"""CREATE OR REPLACE TABLE {COUNTS} (
                query INTEGER, code VARCHAR, drop_reason VARCHAR, num BIGINT)"""
        )
        for number, query in enumerate(queries.events):
            report_step(f"counting {query.title}")
            workspace.connection.execute(
                f"""INSERT INTO {COUNTS} SELECT {number},
                    CASE WHEN drop_reason IS NULL THEN code END, drop_reason, count(*)
                    FROM ({query.sql}) GROUP BY ALL"""
            )
