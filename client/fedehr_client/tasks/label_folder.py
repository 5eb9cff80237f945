"""A site's `labels/`: label tables, each with the task it was made from, written as one step.

SITE/labels/<task>.parquet   columns of MEDS' LabelSchema
SITE/labels/<task>.toml      the task, or `source = "file"`
"""

import os
import shutil
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from fedehr_client.tasks.definition import TaskDefinition
from fedehr_shared.config.section import parse
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.labels import VALUE_COLUMNS, kinds_of

FROM_TASK, FROM_IMPORT = "task", "import"
_PARTIAL = ".labels-"
BINARY, TIME_TO_EVENT = "binary", "time_to_event"


@dataclass(frozen=True)
class LabelFile:
    """One label table to write.

    Attributes:
        task: its name.
        labels: columns of MEDS' LabelSchema.
        about: the text of the TOML file beside it.
    """

    task: str
    labels: pa.Table
    about: str


@dataclass(frozen=True)
class LabelEntry:
    """One task of a site; for the hospital's own eyes.

    Attributes:
        task: its name.
        kind: `binary`, `multiclass`, `regression` or `time_to_event`.
        source: `task` (made by `label make`), `file`, or `import` (the importer's own).
        num: the number of labels.
        num_positive: with the outcome, or the event; null where a label is no yes or no.
    """

    task: str
    kind: str
    source: str
    num: int
    num_positive: int | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def refuse_existing(site: SiteFolder, task: str, replace: bool) -> None:
    """Keep labels that nobody asked to replace.

    Raises:
        DataError: the site has labels of this task, and `replace` is not set.
    """
    if not replace and (site.path / "labels" / f"{task}.parquet").exists():
        raise DataError(
            f"site '{site.name}' has labels of task '{task}' already. Give --replace, or another "
            "name."
        )


def write_label_files(site: SiteFolder, files: Sequence[LabelFile]) -> None:
    """Write the tables; all are complete on disk before the first one takes its name.

    Raises:
        DataError: the folder cannot be written.
    """
    folder = site.path / "labels"
    try:
        folder.mkdir(exist_ok=True)
        # What a killed command left.
        for stale in folder.glob(f"{_PARTIAL}*"):
            shutil.rmtree(stale)
        with tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=folder) as made:
            for file in files:
                pq.write_table(file.labels, Path(made) / f"{file.task}.parquet", compression="zstd")
                (Path(made) / f"{file.task}.toml").write_text(file.about, encoding="utf-8")
            for file in files:
                for ending in ("toml", "parquet"):
                    _put(Path(made) / f"{file.task}.{ending}", folder)
    except OSError as error:
        raise DataError(f"cannot write into {folder}: {error.strerror}. Free it up.") from error


def _put(file: Path, folder: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
    file.replace(folder / file.name)


def list_labels(site: SiteFolder) -> list[LabelEntry]:
    """The site's tasks, by name.

    Raises:
        DataError: a label file is damaged.
    """
    return [_describe(site, task) for task in site.tasks]


def read_made_from(site: SiteFolder, task: str) -> TaskDefinition | None:
    """The task that a site's labels were made from; None for those of a file or an importer.

    Raises:
        DataError: the file beside the labels is damaged.
    """
    values = _read_about(site, task)
    if values is None or "source" in values:
        return None
    return parse(values, TaskDefinition, str(_about_file(site, task)))


def _about_file(site: SiteFolder, task: str) -> Path:
    return site.path / "labels" / f"{task}.toml"


def _read_about(site: SiteFolder, task: str) -> dict[str, Any] | None:
    file = _about_file(site, task)
    if not file.is_file():
        return None
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DataError(f"{file} is damaged. Make the labels again with --replace.") from None


def config_of_labels(site: SiteFolder, task: str) -> TaskConfig:
    """What a study would say of a task, as far as a site's labels tell: their classes, and for
    times to an event one interval to the last of them.

    Raises:
        MissingTaskError: the site has no labels of the task.
        DataError: the file is damaged, or holds labels that no study could train on.
    """
    table = _read_labels(site, task)
    kind = _kind_of(site, task, table)
    values: dict[str, Any] = {"kind": kind}
    if kind == "multiclass":
        column = "categorical_value" if "categorical_value" in table.column_names else _INTEGERS
        found = pc.unique(table.column(column).drop_null()).cast("string").to_pylist()
        values["classes"] = sorted(found)
    elif kind == TIME_TO_EVENT:
        last = pc.max(table.column("float_value")).as_py() or 0.0
        values["interval_ends_hours"] = [max(1.0, last)]
    try:
        return TaskConfig.model_validate(values)
    except ValidationError:
        # Its text quotes the classes.
        raise DataError(
            f"labels of task '{task}' are {kind}, and hold {len(values.get('classes', ()))} "
            "classes: a study takes 2 to 64, of names up to 200 characters."
        ) from None


_INTEGERS = "integer_value"


def _kind_of(site: SiteFolder, task: str, table: pa.Table) -> str:
    kinds = kinds_of(table)
    if not kinds:
        raise DataError(
            f"{site.labels_file(task)} holds no labels as MEDS has them (one column of "
            f"{', '.join(VALUE_COLUMNS)}, or boolean_value and float_value for times to an event)."
        )
    return kinds[0]


def _read_labels(site: SiteFolder, task: str) -> pa.Table:
    file = site.labels_file(task)
    try:
        return pq.read_table(file)
    except (OSError, pa.ArrowException):
        raise DataError(f"{file} is damaged. Make the labels again with --replace.") from None


def _describe(site: SiteFolder, task: str) -> LabelEntry:
    table = _read_labels(site, task)
    kind = _kind_of(site, task, table)
    about = _read_about(site, task)
    source = FROM_IMPORT if about is None else str(about.get("source", FROM_TASK))
    column = next(name for name in VALUE_COLUMNS if name in table.column_names)
    num = len(table) - table.column(column).null_count
    num_positive = None
    if kind in (BINARY, TIME_TO_EVENT):
        num_positive = pc.sum(table.column("boolean_value")).as_py() or 0
    return LabelEntry(task, kind, source, num, num_positive)
