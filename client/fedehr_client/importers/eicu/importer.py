"""`EicuImporter`: the steps from source tables to a federation folder."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fedehr_client.importers.eicu.codes import CodeBook
from fedehr_client.importers.eicu.events import add_events
from fedehr_client.importers.eicu.labels import TASKS, add_labels
from fedehr_client.importers.eicu.site_by import SiteBy
from fedehr_client.importers.eicu.sites import add_sites
from fedehr_client.importers.eicu.tables import load_tables
from fedehr_client.importers.eicu.timeline import add_timeline
from fedehr_client.importers.engine.site_import import write_site_records
from fedehr_client.importers.engine.source import RecordsPlan, ReportStep
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.summary import ImportSummary, LabelCounts, SiteSummary
from fedehr_shared.errors import DataError, UsageError
from fedehr_shared.meds.schema import LABELS_SCHEMA
from fedehr_shared.meds.splits import DEFAULT_SPLIT_KEY
from fedehr_shared.meds.writer import write_federation_file


@dataclass(frozen=True)
class EicuImporter:
    """eICU tables in, one MEDS dataset a site out.

    Attributes:
        source: folder with the tables (`patient.csv.gz`, ...); only read.
        hourly: folder with `dyn.parquet`, or null: bedside pressures stand in.
        site_by: how hospitals are grouped.
    """

    source: Path
    hourly: Path | None
    site_by: SiteBy

    def write(self, folder: Path, workspace: Workspace, report_step: ReportStep) -> ImportSummary:
        """Write sites and `federation.json` into `folder`.

        Raises:
            DataError: a table, column or number is missing or malformed.
            UsageError: a time zone is set: eICU has no calendar.
        """
        if workspace.settings.timezone is not None:
            raise UsageError(
                "eICU counts minutes from unit admission and has no calendar. Leave --timezone out."
            )
        connection = workspace.connection
        report_step("reading the tables")
        measurements = load_tables(connection, self.source, self.hourly)
        report_step("placing stays on a timeline")
        add_sites(connection, self.site_by)
        workspace.left_out.update(add_timeline(connection))
        report_step("turning rows into events")
        workspace.left_out.update(add_events(connection, measurements))
        report_step("labelling")
        tasks = add_labels(connection)
        book = CodeBook(connection)
        sites = []
        for name in self._site_names(connection):
            report_step(f"writing site {name}")
            sites.append(_write_site(workspace, book, folder / name))
        num_subjects = connection.execute(
            "SELECT count(DISTINCT subject_id) FROM stays"
        ).fetchall()[0][0]
        summary = ImportSummary(sites, tasks, num_subjects, dict(workspace.left_out))
        write_federation_file(folder, self._describe(summary, workspace))
        return summary

    def _site_names(self, connection: duckdb.DuckDBPyConnection) -> list[str]:
        rows = connection.execute("SELECT DISTINCT site FROM stays ORDER BY 1").fetchall()
        if not rows:
            raise DataError(
                f"table 'patient' of {self.source} holds no stay that can be placed on a "
                "timeline. Check that it is the whole table."
            )
        return [row[0] for row in rows]

    def _describe(self, summary: ImportSummary, workspace: Workspace) -> dict[str, Any]:
        return {
            "source": "eicu",
            "hourly": self.hourly is not None,
            "site_by": self.site_by.value,
            "split_key": workspace.settings.split_key or DEFAULT_SPLIT_KEY,
            "tasks": summary.tasks,
            "left_out": summary.left_out,
        }


def _write_site(workspace: Workspace, book: CodeBook, folder: Path) -> SiteSummary:
    site = f"site = '{folder.name}'"
    used = workspace.connection.execute(
        f"SELECT DISTINCT code FROM events WHERE {site} ORDER BY 1"
    ).fetchall()
    workspace.connection.register("site_codes", book.table([row[0] for row in used]))
    plan = RecordsPlan(
        events=(f"SELECT * FROM events WHERE {site}",),
        codes="SELECT * FROM site_codes",
        dataset={
            "dataset_name": f"eICU-CRD, {folder.name}",
            "etl_name": "fedehr-client import eicu",
            "raw_source_id_columns": [],
            "site_id_columns": [],
        },
        # Dates are fictional: nobody is observed until an end of the dataset.
        one_calendar=False,
    )
    summary = write_site_records(folder, workspace, plan, "eicu", lambda _: None)
    workspace.connection.unregister("site_codes")
    (folder / "labels").mkdir()
    labels = _read_labels(workspace.connection, folder.name)
    by_task = {task.name: labels.filter(pc.field("task") == task.name) for task in TASKS}
    for task, table in by_task.items():
        rows = table.select(LABELS_SCHEMA.names).cast(LABELS_SCHEMA)
        pq.write_table(rows, folder / "labels" / f"{task}.parquet")
    return replace(summary, tasks={task: _count_labels(rows) for task, rows in by_task.items()})


def _read_labels(connection: duckdb.DuckDBPyConnection, site: str) -> pa.Table:
    """The site's labels, in an order that does not depend on DuckDB's threads."""
    return connection.sql(
        "SELECT * EXCLUDE (site) FROM labels WHERE site = $site ORDER BY ALL",
        params={"site": site},
    ).to_arrow_table()


def _count_labels(table: pa.Table) -> LabelCounts:
    return LabelCounts(table.num_rows, pc.sum(table.column("boolean_value")).as_py() or 0)
