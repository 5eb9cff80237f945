"""`MedsImporter`: another tool's MEDS dataset, as SQL over what was staged of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedehr_client.importers.engine.source import RecordsPlan, ReportStep
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.meds.code_table import read_codes
from fedehr_client.importers.meds.dataset_folder import DatasetFolder
from fedehr_client.importers.meds.event_rows import EventRows, stage_events
from fedehr_client.importers.meds.label_tables import stage_labels, write_labels
from fedehr_client.importers.meds.split_table import read_splits

BILLING_HOURS = 72.0
BILLING_PREFIXES = ("DIAGNOSIS//", "PROCEDURE//", "DRG//", "HCPCS//")
"""Codes that MIMIC_IV_MEDS and those who follow it stamp at discharge or before, though they
are known only when the stay is billed."""


@dataclass(frozen=True)
class MedsImporter:
    """A MEDS dataset in, one site folder out.

    Attributes:
        source: the dataset; only read.
        labels: folder of its labels; null: `labels/` in it, false: none are taken.
        delays: (prefix of code, hours); null: `BILLING_PREFIXES`, unless the dataset's own
            codes say delays.
    """

    source: Path
    labels: Path | bool | None = None
    delays: tuple[tuple[str, float], ...] | None = None

    @property
    def kind(self) -> str:
        """`meds`."""
        return "meds"

    @property
    def timezone(self) -> str | None:
        """`UTC` where this program made the dataset of local times, else unknown."""
        return "UTC" if DatasetFolder(self.source).import_about.get("timezone") else None

    def plan(self, workspace: Workspace, report_step: ReportStep) -> RecordsPlan:
        """Stage the dataset's files and say how they become records.

        Raises:
            DataError: this is no MEDS dataset, a file is damaged, or too many rows are bad.
        """
        folder = DatasetFolder(self.source)
        events = stage_events(workspace, folder.shards, self.source, report_step)
        report_step("reading codes, splits and labels")
        codes, has_delays = read_codes(workspace, folder.codes_file, events)
        splits = read_splits(workspace, folder, events)
        labels = [] if self.labels is False else stage_labels(workspace, self._labels_folder)
        return RecordsPlan(
            events=(events.events,),
            codes=codes,
            delays=self._delays(has_delays),
            splits=splits,
            dataset={**folder.describe(), "etl_name": "fedehr-client import meds"},
            one_calendar=_is_one_calendar(workspace, folder, events),
            finish=lambda site: write_labels(workspace, labels, site),
        )

    @property
    def _labels_folder(self) -> Path:
        return self.labels if isinstance(self.labels, Path) else self.source / "labels"

    def _delays(self, has_delays: bool) -> tuple[tuple[str, float], ...]:
        if self.delays is not None:
            return self.delays
        return () if has_delays else tuple((prefix, BILLING_HOURS) for prefix in BILLING_PREFIXES)


def _is_one_calendar(workspace: Workspace, folder: DatasetFolder, events: EventRows) -> bool:
    """Whether dates can be real: shifted ones reach into the future."""
    about = folder.import_about
    if about:
        return about.get("end_time") is not None
    last = workspace.connection.execute(f"SELECT max(time) FROM {events.rows}").fetchall()[0][0]
    return last is None or last <= datetime.now(UTC).replace(tzinfo=None)
