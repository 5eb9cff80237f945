"""Labels of every kind come along with `fedehr-client import meds`."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedehr_shared.errors import DataError

TIME = datetime(2020, 1, 2)


def test_a_synthetic_hospital_comes_with_all_its_labels(
    hospitals: Any, import_meds: Callable[..., Any], site: Any
) -> None:
    made = hospitals.sites[0]
    tasks = sorted(file.stem for file in (made.path / "labels").glob("*.parquet"))
    columns = set()
    import_meds(made.path)
    for task in tasks:
        before = pq.read_table(made.labels_file(task)).sort_by("subject_id")
        after = pq.read_table(site.labels_file(task))
        assert after.equals(before), task
        columns.add(tuple(after.column_names[2:]))
    # Binary, multi-class, regression and time to event.
    assert columns == {
        ("boolean_value",), ("categorical_value",), ("float_value",),
        ("boolean_value", "float_value"),
    }  # fmt: skip


def _labels(source: Path, write: Callable[..., Path], **columns: Any) -> None:
    num = len(next(iter(columns.values())))
    write(
        source / "labels" / "death_time.parquet",
        subject_id=pa.array(range(1, num + 1), pa.int64()),
        prediction_time=pa.array([TIME] * num, pa.timestamp("us")),
        **columns,
    )


def test_half_a_time_to_an_event_is_no_label(
    source: Path, site: Any, import_meds: Callable[..., Any], write: Callable[..., Path]
) -> None:
    _labels(
        source,
        write,
        boolean_value=pa.array([True, False, None, True, True]),
        float_value=pa.array([24.0, 48.0, 24.0, None, -1.0], pa.float64()),
    )
    summary = import_meds(source)
    kept = pq.read_table(site.labels_file("death_time")).to_pydict()
    assert kept["subject_id"] == [1, 2]
    assert kept["boolean_value"] == [True, False]
    assert kept["float_value"] == [24.0, 48.0]
    assert summary.left_out["labels_without_value"] == 3


def test_of_a_subject_with_several_the_first_whole_one_stands(
    source: Path, site: Any, import_meds: Callable[..., Any], write: Callable[..., Path]
) -> None:
    write(
        source / "labels" / "death_time.parquet",
        subject_id=pa.array([1, 1, 1], pa.int64()),
        prediction_time=pa.array([TIME.replace(day=day) for day in (1, 2, 3)], pa.timestamp("us")),
        boolean_value=pa.array([None, True, False]),
        float_value=pa.array([1.0, 2.0, 3.0]),
    )
    import_meds(source)
    kept = pq.read_table(site.labels_file("death_time")).to_pydict()
    assert (kept["float_value"], kept["boolean_value"]) == ([2.0], [True])


@pytest.mark.parametrize(
    "columns",
    [
        {"boolean_value": [True], "categorical_value": ["a"]},
        {"integer_value": [1], "float_value": [1.0]},
        {"boolean_value": [True], "float_value": [1.0], "integer_value": [1]},
    ],
)
def test_labels_of_no_kind_that_studies_have_are_refused_with_their_columns(
    source: Path,
    import_meds: Callable[..., Any],
    write: Callable[..., Path],
    columns: dict[str, list[Any]],
) -> None:
    _labels(source, write, **{name: pa.array(values) for name, values in columns.items()})
    with pytest.raises(DataError, match="death_time") as refused:
        import_meds(source)
    assert all(name in str(refused.value) for name in columns)
