"""`Labels`: one task's labels at a site, each as one number, from and to MEDS' LabelSchema.

| kind          | columns                                     | number                          |
|---------------|---------------------------------------------|---------------------------------|
| binary        | boolean_value                               | 0 or 1                          |
| multiclass    | categorical_value, or integer_value         | the class's place in `classes`  |
| regression    | float_value, or integer_value               | the value                       |
| time_to_event | float_value (hours) and boolean_value       | hours; negative where censored  |
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedehr_shared.config.task import TaskConfig, TaskKind
from fedehr_shared.errors import DataError
from fedehr_shared.meds.events import NO_TIME
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.table_file import numpy_column, read_table

LEAST_HOURS = 1e-3
"""An event at the prediction itself: a sign must be left to tell it from a censoring."""
BINARY = TaskConfig()
VALUE_COLUMNS = ("boolean_value", "categorical_value", "float_value", "integer_value")
_KINDS: dict[frozenset[str], tuple[TaskKind, ...]] = {
    frozenset({"boolean_value"}): ("binary",),
    frozenset({"categorical_value"}): ("multiclass",),
    frozenset({"float_value"}): ("regression",),
    frozenset({"integer_value"}): ("multiclass", "regression"),
    frozenset({"boolean_value", "float_value"}): ("time_to_event",),
}


@dataclass(frozen=True)
class Labels:
    """One task's labels: `[labels]` each; `values` are numbers as above."""

    subject_ids: NDArray[np.int64]
    prediction_times: NDArray[np.int64]
    values: NDArray[np.float32]


def read_labels(site: SiteFolder, task: str, config: TaskConfig = BINARY) -> Labels:
    """One task's labels; rows without a value are left out.

    Args:
        site: whose labels.
        task: its name.
        config: the kind that the study expects.

    Raises:
        MissingTaskError: the site has no labels for the task.
        DataError: the file is damaged, names a subject twice, or holds labels of another kind,
            classes that the study does not list, or times before the prediction.
    """
    table = read_table(site.labels_file(task), ["subject_id", "prediction_time"])
    kinds = kinds_of(table)
    if config.kind not in kinds:
        held = " or ".join(kinds) if kinds else "of no kind that MEDS has"
        raise DataError(
            f"the study takes task '{task}' for {config.kind}, and its labels here are {held} "
            f"({site.labels_file(task)}). "
            f"Set kind under [tasks.{task}] in the study, or make the labels anew."
        )
    columns = _filled(table) or [name for name in VALUE_COLUMNS if name in table.column_names]
    for name in columns:
        table = table.filter(pc.is_valid(table.column(name)))
    if pc.count_distinct(table.column("subject_id")).as_py() != table.num_rows:
        raise DataError(
            f"labels of task '{task}' name a subject twice, and every count and interval is over "
            "subjects. Keep one label a subject."
        )
    return Labels(
        subject_ids=numpy_column(table, "subject_id", 0),
        prediction_times=numpy_column(table, "prediction_time", NO_TIME),
        values=_values(table, columns, task, config).astype(np.float32),
    )


def kinds_of(table: pa.Table) -> tuple[TaskKind, ...]:
    """What the labels of a table may be; a table without rows is judged by its columns."""
    filled = _filled(table)
    if filled:
        return _KINDS.get(frozenset(filled), ())
    there = {name for name in VALUE_COLUMNS if name in table.column_names}
    return tuple(kind for needed, kinds in _KINDS.items() if needed <= there for kind in kinds)


def label_table(labels: Labels, config: TaskConfig) -> pa.Table:
    """The labels in columns of MEDS' LabelSchema, by subject: the way back."""
    order = np.argsort(labels.subject_ids, kind="stable")
    values = labels.values[order]
    columns: dict[str, pa.Array] = {
        "subject_id": pa.array(labels.subject_ids[order], pa.int64()),
        "prediction_time": pa.array(labels.prediction_times[order], pa.int64()).cast(
            pa.timestamp("us")
        ),
    }
    if config.kind == "binary":
        columns["boolean_value"] = pa.array(values > 0)
    elif config.kind == "multiclass":
        names = np.asarray(config.classes, dtype=object)
        columns["categorical_value"] = pa.array(names[values.astype(np.int64)], pa.string())
    elif config.kind == "regression":
        columns["float_value"] = pa.array(values, pa.float32())
    else:
        columns["boolean_value"] = pa.array(values > 0)
        columns["float_value"] = pa.array(np.abs(values), pa.float32())
    fields = [
        pa.field(name, column.type, nullable=name in VALUE_COLUMNS)
        for name, column in columns.items()
    ]
    return pa.Table.from_arrays(list(columns.values()), schema=pa.schema(fields))


def _filled(table: pa.Table) -> list[str]:
    """Other tools write all of MEDS' columns, and leave empty those that they do not use."""
    there = [name for name in VALUE_COLUMNS if name in table.column_names]
    return [name for name in there if table.column(name).null_count < table.num_rows]


def _values(
    table: pa.Table, columns: Sequence[str], task: str, config: TaskConfig
) -> NDArray[np.float64]:
    if config.kind == "binary":
        return _numbers(table, "boolean_value")
    if config.kind == "multiclass":
        return _class_numbers(table, columns, task, config.classes)
    numbers = _numbers(table, "float_value" if "float_value" in columns else "integer_value")
    with np.errstate(over="ignore"):
        fits = np.isfinite(numbers.astype(np.float32))
    if config.kind == "regression":
        _require(fits, task, "no finite number")
        return numbers
    _require(fits & (numbers >= 0), task, "no number of hours from the prediction on")
    hours = np.maximum(numbers, LEAST_HOURS)
    return np.where(_numbers(table, "boolean_value") > 0, hours, -hours)


def _class_numbers(
    table: pa.Table, columns: Sequence[str], task: str, classes: Sequence[str]
) -> NDArray[np.float64]:
    name = "categorical_value" if "categorical_value" in columns else "integer_value"
    texts = table.column(name).cast(pa.string())
    places = pc.index_in(texts, value_set=pa.array(classes, pa.string()))
    found: NDArray[np.float64] = pc.fill_null(places, -1).to_numpy().astype(np.float64)
    _require(found >= 0, task, f"none of the {len(classes)} classes that the study lists")
    return found


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    column = table.column(name)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    numbers: NDArray[np.float64] = column.to_numpy().astype(np.float64)
    return numbers


def _require(is_good: NDArray[np.bool_], task: str, fault: str) -> None:
    num = int((~is_good).sum())
    if num:
        raise DataError(
            f"{num:,} label(s) of task '{task}' are {fault}. Mend [tasks.{task}] in the study, or "
            "make the labels anew."
        )
