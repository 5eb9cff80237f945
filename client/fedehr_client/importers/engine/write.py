"""`write_records`: from an importer's plan to a whole site folder, or to nothing at all."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fedehr_client.importers.engine.code_rows import write_codes
from fedehr_client.importers.engine.event_filter import EventFilter
from fedehr_client.importers.engine.event_sort import sorted_events
from fedehr_client.importers.engine.previous_site import PreviousSite
from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.engine.source import Importer, RecordsPlan, ReportStep
from fedehr_client.importers.engine.split_writer import KnownSplits, SplitWriter
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.summary import ImportSummary, SiteSummary
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.new_folder import new_folder
from fedehr_shared.meds.schema import SPLITS, SPLITS_SCHEMA
from fedehr_shared.meds.shards import ShardWriter
from fedehr_shared.meds.splits import DEFAULT_SPLIT_KEY
from fedehr_shared.meds.withdrawn import Withdrawn
from fedehr_shared.meds.writer import write_dataset_file


def write_records(
    importer: Importer, out: Path, settings: ImportSettings, report_step: ReportStep
) -> ImportSummary:
    """Import into the site folder `out`, which appears only when all of it is written.

    With `settings.replace` and an existing folder, its split key, every known subject's
    split, its labels and its withdrawn subjects carry over.

    Raises:
        DataError: `out` exists, the source is incomplete or malformed, holds no event, or
            memory or disk ran out.
        UsageError: the memory limit is too small, or the time zone is unknown.
    """
    started = time.monotonic()
    replace = settings.replace and out.exists()
    with new_folder(out, replace=settings.replace) as folder:
        previous = PreviousSite(out, importer.kind, settings.split_key) if replace else None
        with Workspace(settings, beside=out.parent) as workspace:
            plan = importer.plan(workspace, report_step)
            written = _SiteImport(folder, workspace, plan, previous).run(report_step)
            _write_about(SiteFolder(folder), importer.kind, workspace, written)
        report_step("putting the folder in its place")
    seconds = time.monotonic() - started
    return ImportSummary(
        sites=[SiteSummary(out.name, written.num_subjects, written.num_events, {})],
        tasks={},
        num_subjects=written.num_subjects,
        left_out=dict(workspace.left_out),
        repairs=dict(workspace.repairs),
        tables=dict(workspace.bad_rows.to_dict()),
        seconds=seconds,
    )


@dataclass
class _Written:
    """What came of the events."""

    split_key: str
    num_subjects: int = 0
    num_events: int = 0
    end_time: int | None = None
    codes: set[str] = field(default_factory=set)


class _SiteImport:
    """One run of a plan into a new folder."""

    def __init__(
        self,
        folder: Path,
        workspace: Workspace,
        plan: RecordsPlan,
        previous: PreviousSite | None,
    ) -> None:
        self._site = SiteFolder(folder)
        self._workspace = workspace
        self._plan = plan
        self._previous = previous

    def run(self, report_step: ReportStep) -> _Written:
        key = self._workspace.settings.split_key or DEFAULT_SPLIT_KEY
        written = _Written(self._previous.split_key if self._previous else key)
        metadata = self._site.codes_file.parent
        metadata.mkdir(parents=True)
        report_step("sorting events")
        self._write_events(written, report_step)
        if written.num_events == 0:
            raise DataError(
                "the source gave no event. Check that the tables hold rows, and see what "
                f"was left out: {dict(self._workspace.left_out) or 'nothing'}."
            )
        report_step("writing codes")
        write_codes(self._workspace, self._plan, written.codes, self._site.codes_file)
        write_dataset_file(self._site, self._plan.dataset)
        if self._previous:
            subjects = pq.read_table(self._site.splits_file, columns=["subject_id"]).column(0)
            dropped = self._previous.carry_over(self._site.path, subjects)
            if dropped:
                self._workspace.left_out["labels_without_subject"] += dropped
        return written

    def _write_events(self, written: _Written, report_step: ReportStep) -> None:
        withdrawn = self._previous.withdrawn if self._previous else _NOBODY
        passing = EventFilter(withdrawn)
        with (
            ShardWriter(self._site.path / "data") as shards,
            SplitWriter(self._site.splits_file, written.split_key, self._known_splits()) as splits,
        ):
            for chunk in sorted_events(self._workspace, self._plan):
                events = passing.apply(chunk)
                if events.num_rows == 0:
                    continue
                shards.write(events)
                splits.add(events.column("subject_id").to_numpy())
                written.codes.update(pc.unique(events.column("code")).to_pylist())
                written.end_time = _later(written.end_time, events)
                report_step(f"writing events: {shards.num_events:,}")
        written.num_events = shards.num_events
        written.num_subjects = splits.num_subjects
        self._workspace.left_out.update(passing.left_out)
        if passing.num_not_finite:
            self._workspace.repairs["values_not_finite"] += passing.num_not_finite

    def _known_splits(self) -> KnownSplits:
        if self._previous:
            return self._previous.splits
        if self._plan.splits is None:
            return KnownSplits(SPLITS_SCHEMA.empty_table())
        table = self._workspace.connection.sql(
            f"""SELECT CAST(subject_id AS BIGINT) AS subject_id, min(split) AS split
            FROM ({self._plan.splits}) WHERE split IN {SPLITS} AND subject_id IS NOT NULL
            GROUP BY ALL HAVING count(DISTINCT split) = 1"""
        ).to_arrow_table()
        return KnownSplits(table.cast(SPLITS_SCHEMA))


_NOBODY = Withdrawn(b"\0", frozenset())


def _later(end_time: int | None, events: pa.Table) -> int | None:
    latest = pc.max(events.column("time").cast(pa.int64())).as_py()
    return max((each for each in (end_time, latest) if each is not None), default=None)


def _write_about(site: SiteFolder, kind: str, workspace: Workspace, written: _Written) -> None:
    about: dict[str, Any] = {
        "format": 1,
        "source": kind,
        "split_key": written.split_key,
        "timezone": workspace.settings.timezone,
        "end_time": None if written.end_time is None else _iso(written.end_time),
        "tables": workspace.bad_rows.to_dict(),
        "left_out": dict(sorted(workspace.left_out.items())),
        "repairs": dict(sorted(workspace.repairs.items())),
    }
    site.import_file.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _iso(microseconds: int) -> str:
    return str(np.datetime64(microseconds, "us"))
