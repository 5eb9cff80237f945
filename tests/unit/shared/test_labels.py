"""Labels of all kinds, from MEDS' columns to one number each and back."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from meds.schema import LabelSchema

from fedehr_client.label_counts import parts_of
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.labels import Labels, label_table, read_labels

CONFIGS = {
    "binary": TaskConfig(),
    "multiclass": TaskConfig(kind="multiclass", classes=("home", "ward", "3")),
    "regression": TaskConfig(kind="regression"),
    "time_to_event": TaskConfig(kind="time_to_event", interval_ends_hours=(24, 48)),
}
COLUMNS: dict[str, dict[str, list[Any]]] = {
    "binary": {"boolean_value": [True, False, None, True]},
    "multiclass": {"categorical_value": ["3", "home", None, "ward"]},
    "regression": {"float_value": [1.5, -2.0, None, 0.0]},
    "time_to_event": {
        "boolean_value": [True, False, None, True],
        "float_value": [12.0, 30.0, 7.0, 0.0],
    },
}
TYPES = {"boolean_value": pa.bool_(), "categorical_value": pa.string(),
         "float_value": pa.float32(), "integer_value": pa.int64()}  # fmt: skip
EXPECTED = {"binary": [1, 0, 1], "multiclass": [2, 0, 1], "regression": [1.5, -2.0, 0.0],
            "time_to_event": [12.0, -30.0, np.float32(1e-3)]}  # fmt: skip


def write(folder: Path, columns: dict[str, list[Any]]) -> SiteFolder:
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    num = len(next(iter(columns.values())))
    table = {
        "subject_id": pa.array(range(num), pa.int64()),
        "prediction_time": pa.array([0] * num, pa.timestamp("us")),
        **{name: pa.array(values, TYPES[name]) for name, values in columns.items()},
    }
    pq.write_table(pa.table(table), folder / "labels" / "asked.parquet")
    return SiteFolder(folder)


@pytest.mark.parametrize("kind", CONFIGS)
def test_each_kind_becomes_one_number_and_comes_back(kind: str, tmp_path: Path) -> None:
    found = read_labels(write(tmp_path, COLUMNS[kind]), "asked", CONFIGS[kind])
    assert found.values.tolist() == EXPECTED[kind]
    assert found.subject_ids.tolist() == [0, 1, 3]
    table = label_table(found, CONFIGS[kind])
    LabelSchema.validate(table)
    pq.write_table(table, tmp_path / "labels" / "again.parquet")
    again = read_labels(SiteFolder(tmp_path), "again", CONFIGS[kind])
    assert again.values.tobytes() == found.values.tobytes()


@pytest.mark.parametrize("held", CONFIGS)
@pytest.mark.parametrize("asked", CONFIGS)
def test_labels_of_another_kind_are_refused_with_both_kinds(
    held: str, asked: str, tmp_path: Path
) -> None:
    site = write(tmp_path, COLUMNS[held])
    if held == asked:
        assert len(read_labels(site, "asked", CONFIGS[asked]).values) == 3
        return
    with pytest.raises(DataError, match=rf"'asked' for {asked}.*here are {held}"):
        read_labels(site, "asked", CONFIGS[asked])


def test_columns_that_hold_nothing_do_not_make_a_kind(tmp_path: Path) -> None:
    empty = {name: [None] * 4 for name in ("categorical_value", "float_value", "integer_value")}
    site = write(tmp_path, COLUMNS["binary"] | empty)
    assert read_labels(site, "asked").values.tolist() == [1, 0, 1]


def test_whole_numbers_are_classes_or_values(tmp_path: Path) -> None:
    site = write(tmp_path, {"integer_value": [3, 3, None]})
    assert read_labels(site, "asked", CONFIGS["multiclass"]).values.tolist() == [2, 2]
    assert read_labels(site, "asked", CONFIGS["regression"]).values.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("multiclass", {"categorical_value": ["home", "SECRET", "SECRET"]}),
        ("regression", {"float_value": [1.0, float("nan"), float("inf")]}),
        ("time_to_event", {"boolean_value": [True] * 3, "float_value": [1.0, -77.0, float("nan")]}),
    ],
)
def test_values_that_no_study_can_use_are_counted_and_not_shown(
    kind: str, columns: dict[str, list[Any]], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"^2 label\(s\) of task 'asked'") as refused:
        read_labels(write(tmp_path, columns), "asked", CONFIGS[kind])
    assert "SECRET" not in str(refused.value)
    assert "77" not in str(refused.value)


def test_an_event_at_the_end_of_an_interval_is_counted_in_it() -> None:
    values = np.asarray([1e-3, 24.0, 24.01, 48.0, 48.01, -1e-3, -100.0], dtype=np.float32)
    assert parts_of(values, CONFIGS["time_to_event"]).tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert parts_of(np.asarray([2, 0], np.float32), CONFIGS["multiclass"]).tolist() == [2, 0]
    assert parts_of(np.asarray([2.5, -1], np.float32), CONFIGS["regression"]).tolist() == [0, 0]


def test_a_table_is_ordered_by_subject() -> None:
    labels = Labels(np.asarray([5, 2]), np.asarray([10, 20]), np.asarray([1, 0], np.float32))
    told = label_table(labels, TaskConfig()).to_pydict()
    assert (told["subject_id"], told["boolean_value"]) == ([2, 5], [False, True])
