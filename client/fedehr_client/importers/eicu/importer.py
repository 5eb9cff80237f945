"""`EicuImporter`: the steps from source tables to a federation folder."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from fedehr_client.importers.eicu.codes import CodeBook
from fedehr_client.importers.eicu.events import add_events
from fedehr_client.importers.eicu.labels import TASKS, add_labels
from fedehr_client.importers.eicu.site_by import SiteBy
from fedehr_client.importers.eicu.sites import add_sites
from fedehr_client.importers.eicu.tables import load_tables
from fedehr_client.importers.eicu.timeline import add_timeline
from fedehr_client.importers.importer import ReportStep
from fedehr_client.importers.summary import ImportSummary, LabelCounts, SiteSummary
from fedehr_shared.errors import DataError
from fedehr_shared.meds.writer import write_federation_file, write_site

MEMORY_LIMIT = "2GB"
"""DuckDB spills to disk beyond it."""


@dataclass(frozen=True)
class EicuImporter:
    """eICU tables in, one MEDS dataset a site out.

    Attributes:
        source: folder with the tables (`patient.csv.gz`, ...); only read.
        hourly: folder with `dyn.parquet`, or null: bedside pressures stand in.
        site_by: how hospitals are grouped.
        split_key: key of the splits of the whole federation folder.
    """

    source: Path
    hourly: Path | None
    site_by: SiteBy
    split_key: str

    def write(self, folder: Path, report_step: ReportStep) -> ImportSummary:
        """Write sites and `federation.json` into `folder`.

        Raises:
            DataError: a table, column or number is missing or malformed.
        """
        with _database() as connection:
            report_step("reading the tables")
            measurements = load_tables(connection, self.source, self.hourly)
            report_step("placing stays on a timeline")
            add_sites(connection, self.site_by)
            left_out = add_timeline(connection)
            report_step("turning rows into events")
            left_out |= add_events(connection, measurements)
            report_step("labelling")
            tasks = add_labels(connection)
            book = CodeBook(connection)
            names = [
                row[0]
                for row in connection.execute(
                    "SELECT DISTINCT site FROM stays ORDER BY 1"
                ).fetchall()
            ]
            if not names:
                raise DataError(
                    f"table 'patient' of {self.source} holds no stay that can be placed on a "
                    "timeline. Check that it is the whole table."
                )
            sites = []
            for name in names:
                report_step(f"writing site {name}")
                sites.append(self._write_site(connection, book, folder / name))
            num_subjects = connection.execute(
                "SELECT count(DISTINCT subject_id) FROM stays"
            ).fetchall()[0][0]
        summary = ImportSummary(sites, tasks, num_subjects, left_out)
        write_federation_file(folder, self._describe(summary))
        return summary

    def _write_site(
        self, connection: duckdb.DuckDBPyConnection, book: CodeBook, folder: Path
    ) -> SiteSummary:
        events = _read_site(connection, "events", folder.name)
        labels = _read_site(connection, "labels", folder.name)
        by_task = {task.name: labels.filter(pc.field("task") == task.name) for task in TASKS}
        write_site(
            folder,
            events=events,
            codes=book.table(events.column("code").unique().to_pylist()),
            labels=by_task,
            split_key=self.split_key,
            dataset={
                "dataset_name": f"eICU-CRD, {folder.name}",
                "etl_name": "fedehr-client import eicu",
                "raw_source_id_columns": [],
                "site_id_columns": [],
            },
        )
        # Dates are fictional: nobody is observed until an end of the dataset.
        about = {"format": 1, "source": "eicu", "split_key": self.split_key, "end_time": None}
        file = folder / "metadata" / "import.json"
        file.write_text(json.dumps({**about, "timezone": None}, indent=2) + "\n", encoding="utf-8")
        return SiteSummary(
            folder.name,
            pc.count_distinct(events.column("subject_id")).as_py(),
            events.num_rows,
            {task: _count_labels(table) for task, table in by_task.items()},
        )

    def _describe(self, summary: ImportSummary) -> dict[str, Any]:
        return {
            "source": "eicu",
            "hourly": self.hourly is not None,
            "site_by": self.site_by.value,
            "split_key": self.split_key,
            "tasks": summary.tasks,
            "left_out": summary.left_out,
        }


@contextmanager
def _database() -> Iterator[duckdb.DuckDBPyConnection]:
    with (
        tempfile.TemporaryDirectory(prefix="fedehr-import-") as spill,
        duckdb.connect(":memory:") as connection,
    ):
        connection.execute("SET memory_limit = ?", [MEMORY_LIMIT])
        connection.execute("SET temp_directory = ?", [spill])
        # DuckDB's own bar would write into standard output.
        connection.execute("SET enable_progress_bar = false")
        yield connection


def _read_site(connection: duckdb.DuckDBPyConnection, table: str, site: str) -> pa.Table:
    """The site's rows, in an order that does not depend on DuckDB's threads."""
    columns = "* EXCLUDE (site)"
    return connection.sql(
        f"SELECT {columns} FROM {table} WHERE site = $site ORDER BY ALL", params={"site": site}
    ).to_arrow_table()


def _count_labels(table: pa.Table) -> LabelCounts:
    return LabelCounts(table.num_rows, pc.sum(table.column("boolean_value")).as_py() or 0)
