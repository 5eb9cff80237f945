"""The labels that a dataset brings, as label files of the site."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from fedehr_client.importers.engine.table import SourceTable
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.meds.dataset_folder import label_files
from fedehr_client.importers.meds.staging import open_file, rows_of, stage_files
from fedehr_client.importers.meds.tables import labels_table
from fedehr_client.tasks.label_folder import LabelFile, write_label_files
from fedehr_shared.config.name import Name
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder

_FROM_FILE = 'source = "file"\n'
_IS_TRUE = "lower(boolean_value) IN ('true', 't', '1', '1.0')"
_IS_FALSE = "lower(boolean_value) IN ('false', 'f', '0', '0.0')"
_KINDS = {
    "boolean_value": (
        f"CASE WHEN {_IS_TRUE} THEN true WHEN {_IS_FALSE} THEN false END",
        pa.bool_(),
    ),
    "categorical_value": ("categorical_value", pa.string()),
    "integer_value": ("CAST(integer_value AS VARCHAR)", pa.string()),
    "float_value": (
        "CASE WHEN isfinite(float_value) THEN CAST(float_value AS FLOAT) END",
        pa.float32(),
    ),
}
"""By column of a label file, SQL and type of what is written."""
_TIME_TO_EVENT = ("boolean_value", "float_value")
"""Whether the event was seen after so many hours, or nothing until then."""
_HOURS = f"CASE WHEN float_value >= 0 THEN ({_KINDS['float_value'][0]}) END"


@dataclass(frozen=True)
class SourceLabels:
    """Labels staged in the workspace, waiting for the site's subjects.

    Attributes:
        task: its name.
        rows: well-formed rows, as a FROM clause.
        columns: those that hold the labels: one, or both of times to an event.
        about: the text of the TOML file beside them.
    """

    task: str
    rows: str
    columns: tuple[str, ...]
    about: str


def stage_labels(workspace: Workspace, folder: Path) -> list[SourceLabels]:
    """Read every task's labels in `folder`, which may be missing.

    Raises:
        DataError: a file is damaged or holds no labels as MEDS has them, or a task's name is
            none that a study could use.
    """
    return [_stage(workspace, folder, *found) for found in label_files(folder).items()]


def write_labels(workspace: Workspace, labels: list[SourceLabels], site: SiteFolder) -> None:
    """Write the labels of the site's subjects; of a subject's labels the first stands."""
    if not labels:
        return
    workspace.connection.register(
        "meds_subjects", pq.read_table(site.splits_file, columns=["subject_id"])
    )
    files = [LabelFile(each.task, _table(workspace, each), each.about) for each in labels]
    workspace.connection.unregister("meds_subjects")
    write_label_files(site, files)


def _stage(workspace: Workspace, folder: Path, task: str, files: list[Path]) -> SourceLabels:
    try:
        TypeAdapter(Name).validate_python(task)
    except ValidationError:
        raise DataError(
            f"{files[0]}: '{task}' is no name of a task: small letters, digits, '_' and '-', at "
            "most 63. Name it otherwise in a copy of the labels and give --labels, or --no-labels."
        ) from None
    table = labels_table(task)
    rows = rows_of(stage_files(workspace, table, files, folder))
    columns = _find_columns(workspace, table, rows, files[0])
    return SourceLabels(task, rows, columns, _read_about(folder / f"{task}.toml"))


def _read_about(file: Path) -> str:
    """What the source says of its labels, where it says so in our way."""
    try:
        text = file.read_text(encoding="utf-8")
        tomllib.loads(text)
    except (OSError, ValueError):
        return _FROM_FILE
    return text


def _find_columns(
    workspace: Workspace, table: SourceTable, rows: str, file: Path
) -> tuple[str, ...]:
    """The columns with values; of a file without any, the first that it has."""
    counts = workspace.connection.execute(
        f"SELECT {', '.join(f'count({kind})' for kind in _KINDS)} FROM {rows}"
    ).fetchall()[0]
    there = open_file(workspace, table, file).columns
    filled = tuple(kind for kind, num in zip(_KINDS, counts, strict=True) if num)
    present = tuple(kind for kind in _KINDS if kind in there)
    columns = filled or (present if present == _TIME_TO_EVENT else present[:1])
    if len(columns) != 1 and columns != _TIME_TO_EVENT:
        raise DataError(
            f"the labels {file} hold values in {list(columns) or 'none'} of the columns "
            f"{list(_KINDS)}; one is expected, or {' and '.join(_TIME_TO_EVENT)} for times to an "
            "event. Mend a copy and give --labels, or --no-labels."
        )
    return columns


def _table(workspace: Workspace, labels: SourceLabels) -> pa.Table:
    query = _placed(labels)
    unknown, empty, later = workspace.connection.execute(
        f"""SELECT count_if(NOT is_known), count_if(is_known AND NOT is_whole),
        count_if(is_known AND is_whole AND place > 1) FROM ({query})"""
    ).fetchall()[0]
    reasons = {
        "labels_without_subject": unknown,
        "labels_without_value": empty,
        "labels_after_the_first": later,
    }
    for reason, num in reasons.items():
        if num:
            workspace.left_out[reason] += num
    if "integer_value" in labels.columns:
        workspace.repairs["label_files_of_integers_made_classes"] += 1
    written = {_written(column): _KINDS[column][1] for column in labels.columns}
    schema = pa.schema(
        [
            pa.field("subject_id", pa.int64(), nullable=False),
            pa.field("prediction_time", pa.timestamp("us"), nullable=False),
            *(pa.field(name, kind) for name, kind in written.items()),
        ]
    )
    values = ", ".join(f"{column}_read AS {_written(column)}" for column in labels.columns)
    table = workspace.connection.sql(
        f"""SELECT subject_id, prediction_time, {values} FROM ({query})
        WHERE is_known AND is_whole AND place = 1 ORDER BY subject_id"""
    ).to_arrow_table()
    return table.cast(schema)


def _placed(labels: SourceLabels) -> str:
    """SQL of the labels' rows: which are whole, of known subjects, and their places in order."""
    is_timed = labels.columns == _TIME_TO_EVENT
    read = {
        column: _HOURS if is_timed and column == "float_value" else _KINDS[column][0]
        for column in labels.columns
    }
    values = ", ".join(f"{sql} AS {column}_read" for column, sql in read.items())
    names = ", ".join(f"{column}_read" for column in read)
    is_whole = " AND ".join(f"{column}_read IS NOT NULL" for column in read)
    return f"""SELECT *, row_number() OVER (PARTITION BY subject_id
            ORDER BY NOT is_whole, prediction_time, {names}) AS place,
        subject_id IN (SELECT subject_id FROM meds_subjects) AS is_known
        FROM (SELECT *, {is_whole} AS is_whole
            FROM (SELECT subject_id, prediction_time, {values} FROM {labels.rows}))"""


def _written(column: str) -> str:
    """Of another tool's integers it cannot be told whether they are counts: they are classes."""
    return "categorical_value" if column == "integer_value" else column
