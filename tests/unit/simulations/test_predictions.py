"""Predictions meet the held-out examples row by row, or the comparison ends."""

import stat
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from fedehr_shared.errors import FedehrError
from fedehr_simulations.outcome.held_out import HeldOut
from fedehr_simulations.outcome.predictions import SitePredictions, align, write_predictions

HELD_OUT = HeldOut(
    tasks=("death", "stay"),
    site_names=("north", "south"),
    sites=np.array(["north", "north", "south"]),
    subject_ids=np.array([1, 2, 2]),
    times=np.array([10, 20, 30]),
    labels=np.array([[0.0, 1.0], [1.0, np.nan], [0.0, 0.0]]),
)


def _told(*rows: tuple[int, int, float]) -> SitePredictions:
    subjects, times, values = zip(*rows, strict=True)
    return SitePredictions(
        np.array(subjects), np.array(times), np.array([[v, v + 0.1] for v in values])
    )


def test_rows_are_found_by_site_subject_and_time_whatever_the_order() -> None:
    north = _told((2, 20, 0.2), (9, 1, 0.7), (1, 10, 0.1))
    south = _told((2, 20, 0.9), (2, 30, 0.3))
    found = align(HELD_OUT, {"south": south, "north": north})
    np.testing.assert_allclose(found, [[0.1, 0.2], [0.2, 0.3], [0.3, 0.4]])


def test_a_site_without_a_model_has_no_number() -> None:
    found = align(HELD_OUT, {"south": _told((2, 30, 0.3))})
    assert np.isnan(found[:2]).all()
    assert not np.isnan(found[2]).any()


def test_a_missing_row_ends_the_comparison() -> None:
    with pytest.raises(FedehrError, match=r"1 held-out example\(s\) of site 'north'"):
        align(HELD_OUT, {"north": _told((1, 10, 0.1), (2, 21, 0.2))})


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "predictions.parquet"
    write_predictions(file, HELD_OUT, np.array([[0.1, 0.2], [0.3, 0.4], [np.nan, np.nan]]))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    table = pq.read_table(file)
    assert table.column("site").to_pylist() == ["north", "north", "south"]
    assert table.column("stay.label").to_pylist() == [1.0, None, 0.0]
    assert table.column("death.probability").to_pylist() == [0.1, 0.3, None]


def test_subjects_of_two_sites_are_one_subject() -> None:
    assert HELD_OUT.subjects.tolist() == [0, 1, 1]
