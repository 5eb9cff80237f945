"""A dataset's shards as events: staged, with what is dropped or repaired on the way counted."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from fedehr_client.importers.engine.row_source import RowSource
from fedehr_client.importers.engine.source import ReportStep
from fedehr_client.importers.engine.staging import Staged
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.meds.renames import is_renamed, present_code
from fedehr_client.importers.meds.staging import (
    damage_named,
    is_no_time,
    open_file,
    rows_of,
    stage_files,
)
from fedehr_client.importers.meds.survey import Survey
from fedehr_client.importers.meds.tables import DATA

_BLANKS = "' \t\r\n'"
_VISIT_NUMBER = "TRY_CAST(visit_id AS BIGINT)"
_VISIT_HASH = "CAST('0x' || substr(md5(visit_id), 1, 15) AS BIGINT)"


@dataclass(frozen=True)
class EventRows:
    """Staged shards.

    Attributes:
        files: the shards, in the same order as `staged`.
        staged: each shard in the workspace.
    """

    files: tuple[Path, ...]
    staged: tuple[Staged, ...]

    @property
    def rows(self) -> str:
        """The well-formed rows, as a FROM clause."""
        return rows_of(self.staged)

    @property
    def events(self) -> str:
        """A SELECT as `RecordsPlan.events` takes it."""
        visit = f"coalesce({_VISIT_NUMBER}, {_VISIT_HASH})"
        return f"""SELECT subject_id, time, {present_code("code")} AS code, numeric_value,
            {visit} AS visit_id FROM {self.rows}"""


def stage_events(
    workspace: Workspace, files: list[Path], root: Path, report_step: ReportStep
) -> EventRows:
    """Look through the shards, stage them, and count what is repaired.

    Raises:
        DataError: a shard is damaged, lacks a column, or too many rows are bad.
    """
    survey = Survey()
    for number, file in enumerate(files, start=1):
        report_step(f"looking through shard {number} of {len(files)}")
        survey.add(file)
        with damage_named(file):
            _count_in_source(workspace, open_file(workspace, DATA, file))
    workspace.repairs.update(survey.finish())
    report_step("reading the shards")
    staged = stage_files(workspace, DATA, files, root, _adjust)
    rows = EventRows(tuple(files), tuple(staged))
    _count_in_rows(workspace, rows)
    return rows


def _adjust(source: RowSource) -> RowSource:
    """Null in place of times that mean none, and of values that are text."""
    columns = dict(source.columns)
    time, kind = columns["time"]
    if kind.startswith("TIMESTAMP"):
        columns["time"] = (f"CASE WHEN NOT ({is_no_time(time)}) THEN {time} END", kind)
    value = columns.get("numeric_value")
    if value and value[1] == "VARCHAR":
        columns["numeric_value"] = (f"TRY_CAST({value[0]} AS DOUBLE)", "DOUBLE")
    return replace(source, columns=columns)


def _count_in_source(workspace: Workspace, source: RowSource) -> None:
    """What staging no longer shows."""
    counts = {}
    time, kind = source.columns["time"]
    if kind.startswith("TIMESTAMP"):
        counts["static_times_emptied"] = f"count_if({is_no_time(time)})"
    code, kind = source.columns["code"]
    if kind == "VARCHAR":
        counts["codes_trimmed"] = f"count_if({code} <> trim({code}, {_BLANKS}))"
    workspace.repairs.update(_count(workspace, counts, source.rows))
    workspace.left_out.update(_count(workspace, _text_counts(workspace, source), source.rows))


def _text_counts(workspace: Workspace, source: RowSource) -> dict[str, str]:
    described = workspace.connection.execute(f"DESCRIBE SELECT * FROM {source.rows}").fetchall()
    texts = ["count(text_value)"] if "text_value" in {row[0] for row in described} else []
    value = source.columns.get("numeric_value")
    if value and value[1] == "VARCHAR":
        texts.append(f"count_if(TRY_CAST({value[0]} AS DOUBLE) IS NULL AND {value[0]} <> '')")
    return {"text_values": " + ".join(texts)} if texts else {}


def _count_in_rows(workspace: Workspace, events: EventRows) -> None:
    counts = {
        "codes_renamed": f"count_if({is_renamed('code')})",
        "visits_numbered": f"count_if(visit_id IS NOT NULL AND {_VISIT_NUMBER} IS NULL)",
    }
    workspace.repairs.update(_count(workspace, counts, events.rows))


def _count(workspace: Workspace, counts: dict[str, str], rows: str) -> Counter[str]:
    """Counts above zero, by name."""
    if not counts:
        return Counter()
    numbers = workspace.connection.execute(f"SELECT {', '.join(counts.values())} FROM {rows}")
    found = zip(counts, numbers.fetchall()[0], strict=True)
    return Counter({name: num for name, num in found if num})
