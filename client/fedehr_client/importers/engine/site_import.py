"""One site's events, codes, splits and account of the import, into its new folder."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fedehr_client.importers.engine.code_rows import write_codes
from fedehr_client.importers.engine.event_filter import EventFilter
from fedehr_client.importers.engine.event_sort import sorted_events
from fedehr_client.importers.engine.previous_site import PreviousSite
from fedehr_client.importers.engine.source import RecordsPlan, ReportStep
from fedehr_client.importers.engine.split_writer import KnownSplits, SplitWriter
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.summary import SiteSummary
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import SPLITS, SPLITS_SCHEMA
from fedehr_shared.meds.shards import ShardWriter
from fedehr_shared.meds.splits import DEFAULT_SPLIT_KEY
from fedehr_shared.meds.withdrawn import Withdrawn
from fedehr_shared.meds.writer import write_dataset_file

_NOBODY = Withdrawn(b"\0", frozenset())


def write_site_records(
    folder: Path,
    workspace: Workspace,
    plan: RecordsPlan,
    kind: str,
    report_step: ReportStep,
    *,
    previous: PreviousSite | None = None,
) -> SiteSummary:
    """Write the plan's records into `folder`, which may not exist yet.

    Raises:
        DataError: there is no event, a query failed, or memory or disk ran out.
    """
    return _SiteImport(SiteFolder(folder), workspace, plan, previous).run(kind, report_step)


@dataclass
class _Written:
    """What came of the events."""

    split_key: str
    num_subjects: int = 0
    num_events: int = 0
    end_time: int | None = None
    codes: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _SiteImport:
    """One run of a plan into a new folder."""

    site: SiteFolder
    workspace: Workspace
    plan: RecordsPlan
    previous: PreviousSite | None

    def run(self, kind: str, report_step: ReportStep) -> SiteSummary:
        key = self.workspace.settings.split_key or DEFAULT_SPLIT_KEY
        written = _Written(self.previous.split_key if self.previous else key)
        self.site.codes_file.parent.mkdir(parents=True)
        report_step("sorting events")
        self._write_events(written, report_step)
        if written.num_events == 0:
            raise DataError(
                "the source gave no event. Check that the tables hold rows, and see what "
                f"was left out: {dict(self.workspace.left_out) or 'nothing'}."
            )
        report_step("writing codes")
        write_codes(self.workspace, self.plan, written.codes, self.site.codes_file)
        write_dataset_file(self.site, self.plan.dataset)
        if self.previous:
            self._carry_over(self.previous)
        if self.plan.finish:
            self.plan.finish(self.site)
        self._write_about(kind, written)
        return SiteSummary(self.site.name, written.num_subjects, written.num_events, {})

    def _carry_over(self, previous: PreviousSite) -> None:
        subjects = pq.read_table(self.site.splits_file, columns=["subject_id"]).column(0)
        num_dropped = previous.carry_over(self.site.path, subjects)
        if num_dropped:
            self.workspace.left_out["labels_without_subject"] += num_dropped

    def _write_events(self, written: _Written, report_step: ReportStep) -> None:
        withdrawn = self.previous.withdrawn if self.previous else _NOBODY
        passing = EventFilter(withdrawn)
        with (
            ShardWriter(self.site.path / "data") as shards,
            SplitWriter(self.site.splits_file, written.split_key, self._known_splits()) as splits,
        ):
            for chunk in sorted_events(self.workspace, self.plan):
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
        self.workspace.left_out.update(passing.left_out)
        if passing.num_not_finite:
            self.workspace.repairs["values_not_finite"] += passing.num_not_finite

    def _known_splits(self) -> tuple[KnownSplits, ...]:
        """Those of the folder that is replaced, then those of the source."""
        before = (self.previous.splits,) if self.previous else ()
        if self.plan.splits is None:
            return before
        table = self.workspace.connection.sql(
            f"""SELECT CAST(subject_id AS BIGINT) AS subject_id, min(split) AS split
            FROM ({self.plan.splits}) WHERE split IN {SPLITS} AND subject_id IS NOT NULL
            GROUP BY ALL HAVING count(DISTINCT split) = 1"""
        ).to_arrow_table()
        return (*before, KnownSplits(table.cast(SPLITS_SCHEMA)))

    def _write_about(self, kind: str, written: _Written) -> None:
        end_time = written.end_time if self.plan.one_calendar else None
        about: dict[str, Any] = {
            "format": 1,
            "source": kind,
            "split_key": written.split_key,
            "timezone": self.workspace.settings.timezone,
            "end_time": None if end_time is None else _iso(end_time),
            "tables": self.workspace.bad_rows.to_dict(),
            "left_out": dict(sorted(self.workspace.left_out.items())),
            "repairs": dict(sorted(self.workspace.repairs.items())),
        }
        self.site.import_file.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _later(end_time: int | None, events: pa.Table) -> int | None:
    latest = pc.max(events.column("time").cast(pa.int64())).as_py()
    return max((each for each in (end_time, latest) if each is not None), default=None)


def _iso(microseconds: int) -> str:
    return (datetime(1970, 1, 1) + timedelta(microseconds=microseconds)).isoformat()
