"""`binary_views`: labels of any kind as questions with yes or no, which a simple rule can rank."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from fedehr_shared.errors import DataError
from fedehr_shared.meds.labels import kinds_of

MOST_VIEWS = 64
_INTEGERS = "integer_value"
_KEYS = ["subject_id", "prediction_time"]


@dataclass(frozen=True)
class BinaryView:
    """One question.

    Attributes:
        suffix: what tells it from the task's other questions, in words.
        labels: subject_id, prediction_time, boolean_value.
    """

    suffix: str
    labels: pa.Table


def binary_views(labels: pa.Table) -> list[BinaryView]:
    """Binary labels as they are. Times to an event: was it seen? Classes: each against the rest,
    by number, as names of classes stay out of reports. Numbers: above their median?

    Raises:
        DataError: the labels are of no kind that MEDS has.
    """
    kinds = kinds_of(labels)
    if not kinds:
        raise DataError("the label file holds no labels as MEDS has them. Make the labels anew.")
    if "boolean_value" in labels.column_names and kinds[0] in ("binary", "time_to_event"):
        return [_view(labels, "", labels.column("boolean_value"))]
    if kinds[0] == "multiclass":
        is_named = "categorical_value" in labels.column_names
        column = labels.column("categorical_value" if is_named else _INTEGERS)
        classes = sorted(pc.unique(column.drop_null()).to_pylist())[:MOST_VIEWS]
        return [
            _view(labels, f", of class {number}", pc.equal(column, own))
            for number, own in enumerate(classes, start=1)
        ] or [_view(labels, "", pc.is_valid(column))]
    column = labels.column("float_value" if "float_value" in labels.column_names else _INTEGERS)
    middle = pc.quantile(column, 0.5)[0]
    return [_view(labels, ", of values above the median", pc.greater(column, middle))]


def _view(labels: pa.Table, suffix: str, is_positive: pa.ChunkedArray) -> BinaryView:
    table = labels.select(_KEYS).append_column("boolean_value", is_positive)
    return BinaryView(suffix, table.filter(pc.is_valid(table.column("boolean_value"))))
