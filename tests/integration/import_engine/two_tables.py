"""An importer of `events` and `codes`, also as a program: `two_tables.py SOURCE OUT OPTIONS`."""

import json
import resource
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from fedehr_client.importers.engine.load import open_table
from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.engine.source import RecordsPlan, ReportStep
from fedehr_client.importers.engine.source_folder import SourceFolder
from fedehr_client.importers.engine.table import Column, SourceTable
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.engine.write import write_records
from fedehr_shared.console import run_program
from fedehr_shared.processes import termination_interrupts

EVENTS = SourceTable(
    "events",
    (
        Column("subject", "integer", required=True),
        Column("time", "time"),
        Column("code", "text", required=True),
        Column("value", "number"),
        Column("visit", "integer"),
    ),
)
CODES = SourceTable("codes", tuple(Column(n, "text") for n in ("code", "parent", "description")))


@dataclass(frozen=True)
class TwoTables:
    source: Path
    kind: str = "two"

    def plan(self, workspace: Workspace, report_step: ReportStep) -> RecordsPlan:
        folder = SourceFolder(self.source)
        report_step("reading tables")
        open_table(workspace, EVENTS, folder.require("events"))
        open_table(workspace, CODES, folder.require("codes"))
        return RecordsPlan(
            events=(
                """SELECT subject AS subject_id, time, code, value AS numeric_value,
                visit AS visit_id FROM events""",
            ),
            codes="""SELECT code, description, CASE WHEN parent IS NOT NULL THEN [parent] END
                AS parent_codes, NULL AS delay_hours FROM codes""",
            delays=(("LAB//", 1.0), ("LAB//2", 72.0)),
            dataset={"dataset_name": "two tables"},
        )


def _main() -> None:
    source, out, options = sys.argv[1:]
    settings = ImportSettings(**json.loads(options))
    if settings.temp_folder is not None:
        settings = replace(settings, temp_folder=Path(settings.temp_folder))
    with termination_interrupts():
        write_records(
            TwoTables(Path(source)), Path(out), settings, lambda step: print(step, flush=True)
        )
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    run_program(_main)
