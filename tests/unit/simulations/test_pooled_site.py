"""Pooling: a subject of two sites becomes one, and nothing else changes."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedehr_shared.config.cohort import EVERYONE
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_events, read_labels, read_parents, read_splits
from fedehr_shared.meds.schema import CODES_SCHEMA, DATA_SCHEMA, LABELS_SCHEMA, SPLITS_SCHEMA
from fedehr_shared.meds.writer import write_site
from fedehr_simulations.arms.pooled_site import write_pooled_site

Row = tuple[int, int | None, str, float | None, int | None]


def _site(
    folder: Path,
    events: list[Row],
    labels: list[tuple[int, int, bool]],
    parents: dict[str, str] | None = None,
) -> SiteFolder:
    columns: list[Any] = [list(column) for column in zip(*events, strict=True)]
    codes = sorted({row[2] for row in events})
    table = [
        {"code": code, "parent_codes": [parents[code]] if parents and code in parents else None}
        for code in codes
    ]
    write_site(
        folder,
        events=pa.table(dict(zip(DATA_SCHEMA.names, columns, strict=True)), schema=DATA_SCHEMA),
        codes=pa.Table.from_pylist(table, schema=CODES_SCHEMA),
        labels={
            "death": pa.table(
                dict(zip(LABELS_SCHEMA.names, map(list, zip(*labels, strict=True)), strict=True)),
                schema=LABELS_SCHEMA,
            )
        },
        split_key="a key",
        dataset={},
    )
    return SiteFolder(folder)


@pytest.fixture
def sites(tmp_path: Path) -> list[SiteFolder]:
    north = _site(
        tmp_path / "north",
        [(1, None, "SEX//F", None, None), (1, 100, "A", 1.5, 7), (2, 50, "B", None, 7)],
        [(1, 150, True), (2, 60, False)],
        {"A": "PARENT"},
    )
    south = _site(
        tmp_path / "south",
        [
            (1, None, "SEX//F", None, None),
            (1, 40, "C", None, 7),
            (1, 300, "A", 2.5, 8),
            (3, 5, "C", None, None),
        ],
        [(1, 90, False), (3, 9, True)],
    )
    return [north, south]


def test_a_subject_of_two_sites_is_merged_in_time(sites: list[SiteFolder], tmp_path: Path) -> None:
    pooled = write_pooled_site(
        tmp_path / "all" / "pooled", sites, {"death": TaskConfig()}, EVERYONE
    )
    events = read_events(pooled)
    first = events.subject_ids == 1
    codes = [events.codes[index] for index in events.code_indices[first]]
    assert codes == ["SEX//F", "C", "A", "A"]
    assert events.values[first][2:].tolist() == [1.5, 2.5]
    # Stay 7 is another stay at each site.
    assert len(set(events.visit_ids[first][1:].tolist())) == 3
    assert len(events) == 6


def test_a_subject_keeps_its_earliest_label(sites: list[SiteFolder], tmp_path: Path) -> None:
    pooled = write_pooled_site(
        tmp_path / "all" / "pooled", sites, {"death": TaskConfig()}, EVERYONE
    )
    labels = read_labels(pooled, "death")
    assert labels.subject_ids.tolist() == [1, 2, 3]
    assert labels.prediction_times.tolist() == [90, 60, 9]
    assert labels.values.tolist() == [0, 0, 1]


def test_codes_parents_and_splits_are_the_sites_own(
    sites: list[SiteFolder], tmp_path: Path
) -> None:
    pooled = write_pooled_site(
        tmp_path / "all" / "pooled", sites, {"death": TaskConfig()}, EVERYONE
    )
    assert read_parents(pooled) == {"A": "PARENT"}
    own = read_splits(sites[0]) | read_splits(sites[1])
    assert read_splits(pooled) == own


def test_a_subject_in_two_splits_is_refused(sites: list[SiteFolder], tmp_path: Path) -> None:
    here = read_splits(sites[0])[1]
    other = {1: "train" if here != "train" else "held_out", 3: "train"}
    table = {"subject_id": list(other), "split": list(other.values())}
    pq.write_table(pa.table(table, schema=SPLITS_SCHEMA), sites[1].splits_file)
    with pytest.raises(DataError, match="another split"):
        write_pooled_site(tmp_path / "all" / "pooled", sites, {"death": TaskConfig()}, EVERYONE)
