"""What a site counts: training subjects, once a code, their first values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedehr_client.label_counts import count_labels
from fedehr_client.vocabulary.histograms import FirstValues
from fedehr_client.vocabulary.site_report import SiteRecords, count_site
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.errors import DataError, MissingTaskError, TooFewSubjectsError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import NO_TIME, NO_VISIT, Events
from fedehr_shared.meds.schema import BIRTH_CODE
from fedehr_shared.vocabulary.grid import bin_of
from fedehr_shared.vocabulary.report import VocabularyReport

CODES = (BIRTH_CODE, "HR", "DX//1", "DX//2")


def _events(rows: list[tuple[int, int, str, float]]) -> Events:
    subjects, times, codes, values = zip(*rows, strict=True)
    return Events(
        np.asarray(subjects, np.int64), np.asarray(times, np.int64),
        np.asarray([CODES.index(c) for c in codes], np.int32), np.asarray(values, np.float32),
        np.full(len(rows), NO_VISIT), CODES,
    )  # fmt: skip


def count_codes(
    site: str, events: Events, parents: dict[str, str], splits: dict[int, str], min_cell: int
) -> VocabularyReport:
    return count_site(SiteRecords(site, events.codes, parents, splits, lambda: [events]), min_cell)


def _rows(subject: int, code: str, *values: float) -> list[tuple[int, int, str, float]]:
    return [(subject, when, code, value) for when, value in enumerate(values)]


def _train(*subjects: int) -> dict[int, str]:
    return dict.fromkeys(subjects, "train")


def test_a_subject_counts_once_a_code_with_its_first_value() -> None:
    rows = [row for s in range(6) for row in _rows(s, "HR", 60.0 + s, 200.0, 300.0)]
    report = count_codes("north", _events(rows), {}, _train(*range(6)), 3)
    assert report.num_subjects_by_code == {"HR": 6}
    assert report.num_subjects == 6
    histogram = report.histograms["HR"]
    assert histogram.counts == (3, 3)
    assert histogram.edges[1] == bin_of(np.asarray([62.0]))[0] + 1


def test_first_values_add_up_over_many_chunks() -> None:
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 5, 700_000)
    places = generator.integers(0, 300, 700_000).astype(np.int32) * (1 + codes.astype(np.int32))
    values = FirstValues()
    for rows in np.array_split(np.arange(codes.size), 90):
        values.add(codes[rows], places[rows])
    found = values.by_code()
    assert sorted(found) == list(range(5))
    for code, (at, counts) in found.items():
        expected = np.unique(places[codes == code], return_counts=True)
        assert np.array_equal(at, expected[0])
        assert np.array_equal(counts, expected[1])


def test_only_training_subjects_count() -> None:
    rows = [row for s in range(12) for row in _rows(s, "HR", 60.0)]
    splits = {s: ("train", "tuning", "held_out")[s % 3] for s in range(12)}
    report = count_codes("north", _events(rows), {}, splits, 4)
    assert (report.num_subjects, report.num_subjects_by_code) == (4, {"HR": 4})
    changed = [(s, t, c, 900.0 if splits[s] != "train" else v) for s, t, c, v in rows]
    assert count_codes("north", _events(changed), {}, splits, 4) == report


def test_births_give_no_code_and_static_events_do() -> None:
    rows: list[tuple[int, int, str, float]] = []
    for s in range(5):
        rows += [(s, NO_TIME, "DX//1", np.nan), (s, 0, BIRTH_CODE, np.nan)]
        rows += _rows(s, "HR", 60.0 + s)
    report = count_codes("north", _events(rows), {}, _train(*range(5)), 2)
    assert report.num_subjects_by_code == {"DX//1": 4, "HR": 4}
    assert set(report.histograms) == {"HR"}


def test_rare_codes_join_at_their_parent_and_its_chain_is_told() -> None:
    rows = [row for s in range(3) for row in _rows(s, "DX//1", np.nan)]
    rows += [row for s in range(3, 6) for row in _rows(s, "DX//2", np.nan)]
    parents = {"DX//1": "DX", "DX//2": "DX", "DX": "ALL", "HR": "VITAL"}
    report = count_codes("north", _events(rows), parents, _train(*range(6)), 5)
    assert report.num_subjects_by_code == {"DX": 5}
    assert report.parents == {"DX": "ALL"}


def test_counts_are_told_in_multiples_of_the_cell() -> None:
    rows = [row for s in range(20) for row in _rows(s, "HR", 60.0 + s if s else np.nan)]
    rows += [row for s in range(20, 22) for row in _rows(s, "DX//1", np.nan)]
    report = count_codes("north", _events(sorted(rows)), {}, _train(*range(22)), 5)
    # 22 subjects, 20 with the code, 19 with a value: 2 and 1 subjects would show.
    assert report.num_subjects == 20
    assert report.num_subjects_by_code == {"HR": 20}
    assert report.histograms["HR"].counts == (5, 5, 5)


def test_too_few_subjects_and_rare_codes_are_told_apart() -> None:
    rows = [row for s in range(4) for row in _rows(s, "HR", 60.0)]
    with pytest.raises(TooFewSubjectsError, match="training subjects"):
        count_codes("north", _events(rows), {}, _train(*range(4)), 5)
    rows = [row for s in range(6) for row in _rows(s, CODES[1 + s // 2], 1.0)]
    with pytest.raises(TooFewSubjectsError, match="no code"):
        count_codes("north", _events(rows), {}, _train(*range(6)), 5)


def _label_site(folder: Path, rows: list[tuple[int, bool | None]]) -> SiteFolder:
    (folder / "labels").mkdir(parents=True)
    table = {
        "subject_id": pa.array([s for s, _ in rows], pa.int64()),
        "prediction_time": pa.array([0] * len(rows), pa.timestamp("us")),
        "boolean_value": pa.array([v for _, v in rows], pa.bool_()),
    }
    pq.write_table(pa.table(table), folder / "labels" / "death.parquet")
    return SiteFolder(folder)


def test_labels_are_counted_in_training_and_small_classes_withheld(tmp_path: Path) -> None:
    rows: list[tuple[int, bool | None]] = [(s, s < 6) for s in range(20)]
    rows += [(20, None), (21, True)]
    site = _label_site(tmp_path / "north", rows)
    splits = {**_train(*range(21)), 21: "held_out"}
    # 6 positives and 14 negatives, in sixes.
    tasks = {"death": TaskConfig(), "sepsis": TaskConfig()}
    assert count_labels(site, tasks, splits, 6) == {"death": (12, 6)}
    assert count_labels(site, tasks, splits, 7) == {"death": (14, 0)}
    assert count_labels(site, tasks, splits, 15) == {}
    with pytest.raises(MissingTaskError, match="none of the tasks"):
        count_labels(site, {"sepsis": TaskConfig()}, splits, 6)


def test_a_subject_labelled_twice_is_refused(tmp_path: Path) -> None:
    site = _label_site(tmp_path / "north", [(1, True), (2, False), (1, True)])
    with pytest.raises(DataError, match="twice") as refused:
        count_labels(site, {"death": TaskConfig()}, _train(1, 2), 1)
    assert str(tmp_path) not in str(refused.value)


def test_counts_of_real_hospitals_are_those_of_their_tables(
    hospitals: Any, make_study: Callable[..., Any]
) -> None:
    from fedehr_client.vocabulary.answer import read_site
    from fedehr_shared.meds.reader import read_parents, read_splits

    site = hospitals.sites[0]
    report = count_site(read_site(site, site.name), 11)
    parents = read_parents(site)
    events = pq.read_table(site.data_files[0]).to_pandas()
    train = {s for s, split in read_splits(site).items() if split == "train"}
    events = events[events.subject_id.isin(train)]
    leaves = [code for code in report.num_subjects_by_code if code not in parents.values()]
    assert leaves
    for code in leaves:
        own = events[events.code == code].subject_id.nunique()
        assert report.num_subjects_by_code[code] == own // 11 * 11
