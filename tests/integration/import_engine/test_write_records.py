"""Plans to site folders: valid MEDS, the same bytes always, everything accounted for."""

import hashlib
import itertools
import json
import os
import resource
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import meds
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client.importers.engine.event_sort import read_stream
from fedehr_client.importers.engine.memory import parse_bytes
from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.engine.source import Importer, RecordsPlan, ReportStep
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.engine.write import write_records
from fedehr_client.importers.summary import ImportSummary
from fedehr_shared.errors import DataError, UsageError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_events, read_splits
from fedehr_shared.meds.schema import DATA_SCHEMA
from fedehr_shared.meds.shards import ShardWriter
from fedehr_shared.meds.splits import split_of
from fedehr_shared.meds.withdrawn import read_withdrawn, withdrawn_file

SETTINGS = ImportSettings(memory_limit_bytes=8 * 10**9)
MakeImporter = Callable[[Path], Importer]


def _silent(_step: str) -> None:
    pass


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


class FromSql:
    """An importer whose plan is given."""

    kind = "sql"

    def __init__(self, *events: str, **more: Any) -> None:
        self._plan = RecordsPlan(events=events, **more)

    def plan(self, workspace: Workspace, report_step: ReportStep) -> RecordsPlan:
        return self._plan


@pytest.fixture(scope="module")
def imported(
    two_tables: MakeImporter, events_source: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SiteFolder, ImportSummary]:
    out = tmp_path_factory.mktemp("imported") / "site"
    summary = write_records(two_tables(events_source), out, SETTINGS, _silent)
    return SiteFolder(out), summary


def test_the_folder_is_meds_and_sorted(imported: tuple[SiteFolder, ImportSummary]) -> None:
    site, summary = imported
    events = pa.concat_tables([pq.read_table(file) for file in site.data_files])
    for file in site.data_files:
        meds.DataSchema.validate(pq.read_table(file))
    meds.CodeMetadataSchema.validate(pq.read_table(site.codes_file))
    meds.SubjectSplitSchema.validate(pq.read_table(site.splits_file))
    meds.DatasetMetadataSchema.validate(json.loads(site.dataset_file.read_text()))
    frame = events.to_pandas()
    keys = ["subject_id", "time", "code"]
    assert frame[keys].equals(frame[keys].sort_values(keys, na_position="first", kind="stable"))
    assert not frame.duplicated().any()
    assert frame["time"].isna().any()
    assert np.isfinite(frame["numeric_value"].dropna()).all()
    assert len(read_events(site)) == summary.num_events == len(frame)


def test_every_row_is_accounted_for(
    events_source: Path, imported: tuple[SiteFolder, ImportSummary]
) -> None:
    site, summary = imported
    rows = pd.read_csv(events_source / "events.csv.gz", dtype=str, keep_default_na=False)
    values = pd.to_numeric(rows["value"], errors="coerce")
    rows["value"] = values.where(values.abs() < 3.4e38).astype("float32") + 0.0
    distinct = rows.drop_duplicates()
    assert summary.tables["events"]["num_rows"] == len(rows)
    assert summary.num_events == len(distinct)
    assert summary.left_out == {"duplicate_events": len(rows) - len(distinct)}
    about = json.loads(site.import_file.read_text())
    assert about["left_out"] == summary.left_out
    assert about["tables"] == summary.tables
    assert about["end_time"] == rows.iloc[:, 1].max().replace(" ", "T") + ":00"
    assert summary.repairs["values_not_finite"] > 0


def test_codes_hold_what_is_used_and_its_ancestors(
    imported: tuple[SiteFolder, ImportSummary],
) -> None:
    codes = pq.read_table(imported[0].codes_file).to_pandas().set_index("code")
    assert set(codes.index) == {f"LAB//{n}" for n in range(50)} | {"LAB", "ALL"}
    assert list(codes.loc["LAB//1", "parent_codes"]) == ["LAB"]
    assert list(codes.loc["LAB", "parent_codes"]) == ["ALL"]
    assert codes.loc["LAB//1", "delay_hours"] == 1.0
    assert codes.loc["LAB//21", "delay_hours"] == 72.0
    assert pd.isna(codes.loc["ALL", "delay_hours"])


def test_splits_are_the_keyed_hash(imported: tuple[SiteFolder, ImportSummary]) -> None:
    splits = read_splits(imported[0])
    assert splits == {subject: split_of(subject, "fedehr") for subject in splits}
    assert len(splits) == imported[1].num_subjects == 700


@pytest.mark.parametrize("limits", [("300MB", 1), ("2GB", 1), ("2GB", 2)])
def test_the_bytes_do_not_depend_on_threads_or_memory(
    limits: tuple[str, int],
    two_tables: MakeImporter,
    events_source: Path,
    imported: tuple[SiteFolder, ImportSummary],
    tmp_path: Path,
) -> None:
    memory, num_threads = limits
    processors = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, sorted(processors)[:num_threads])
        chosen = replace(SETTINGS, memory_limit_bytes=max(parse_bytes(memory), _least()))
        write_records(two_tables(events_source), tmp_path / "site", chosen, _silent)
    finally:
        os.sched_setaffinity(0, processors)
    assert _digests(tmp_path / "site") == _digests(imported[0].path)


def _least() -> int:
    """This test process is large itself."""
    import psutil

    return int(psutil.Process().memory_info().rss) + 250_000_000


def test_the_source_is_only_read(
    two_tables: MakeImporter, events_source: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(events_source, source)
    for entry in (*source.iterdir(), source):
        entry.chmod(0o500 if entry.is_dir() else 0o400)
    before = _digests(source), [f.stat().st_mtime_ns for f in sorted(source.iterdir())]
    write_records(two_tables(source), tmp_path / "out" / "site", SETTINGS, _silent)
    assert before == (_digests(source), [f.stat().st_mtime_ns for f in sorted(source.iterdir())])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["site"]


def test_what_is_no_event_is_dropped_and_counted(tmp_path: Path) -> None:
    rows = """VALUES (1, TIMESTAMP '2020-01-01', 'A', 1.0, 7), (NULL, NULL, 'A', NULL, NULL),
        (1, NULL, NULL, 1.0, 7), (1, NULL, '', 1.0, 7), (1, 'infinity'::TIMESTAMP, 'A', 1.0, 7),
        (1, TIMESTAMP '2020-01-01', 'A', 1.0, 7), (1, NULL, 'B', 'inf'::DOUBLE, 7),
        (1, NULL, 'B', NULL, 7), (2, NULL, 'C', -0.0, NULL), (2, NULL, 'C', 0.0, NULL)"""
    names = "subject_id, time, code, numeric_value, visit_id"
    plan = FromSql(f"SELECT * FROM ({rows}) AS rows({names})")
    summary = write_records(plan, tmp_path / "site", SETTINGS, _silent)
    assert summary.left_out == {
        "events_without_subject": 1,
        "events_without_code": 2,
        "events_with_endless_time": 1,
        "duplicate_events": 3,
    }
    assert summary.repairs == {"values_not_finite": 1}
    assert summary.num_events == 3


def test_no_event_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    plan = FromSql("SELECT 1 AS subject_id, NULL AS time, NULL AS code, 0 AS numeric_value, "
                   "0 AS visit_id")  # fmt: skip
    with pytest.raises(DataError, match="events_without_code"):
        write_records(plan, tmp_path / "site", SETTINGS, _silent)
    assert not list(tmp_path.iterdir())


def test_a_failing_query_shows_no_content(tmp_path: Path) -> None:
    plan = FromSql("SELECT CAST('SECRET' AS BIGINT) AS subject_id, NULL AS time, 'A' AS code, "
                   "0 AS numeric_value, 0 AS visit_id")  # fmt: skip
    with pytest.raises(DataError) as refused:
        write_records(plan, tmp_path / "site", SETTINGS, _silent)
    assert "SECRET" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_query_that_fails_while_it_streams_shows_no_content(tmp_path: Path) -> None:
    with Workspace(SETTINGS, beside=tmp_path) as workspace:
        reader = workspace.connection.sql(
            """SELECT CASE WHEN range = 900000 THEN CAST('SECRET' || range AS BIGINT)
            ELSE range END FROM range(1000000)"""
        ).to_arrow_reader(1000)
        with pytest.raises(DataError) as refused:
            for _ in read_stream(reader, workspace):
                pass
    assert "SECRET" not in str(refused.value)


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(DataError, match="disk of"):
            write_records(_rows(range(500_000), 1), tmp_path / "site", SETTINGS, _silent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert not list(tmp_path.iterdir())


def test_too_little_memory_is_refused_with_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--memory-limit \d+MB or more"):
        write_records(FromSql("SELECT 1"), tmp_path / "s", ImportSettings(10**7), _silent)
    assert not list(tmp_path.iterdir())


# Replacing


def _rows(subjects: range, value: float) -> FromSql:
    return FromSql(
        f"""SELECT range AS subject_id, TIMESTAMP '2020-01-01' AS time, 'A' AS code,
        {value} AS numeric_value, NULL AS visit_id
        FROM range({subjects.start}, {subjects.stop})"""
    )


def _label(folder: Path, subjects: list[int]) -> None:
    (folder / "labels").mkdir()
    times = pa.array([0] * len(subjects)).cast(pa.timestamp("us"))
    columns = {"subject_id": subjects, "prediction_time": times,
               "boolean_value": [True] * len(subjects)}  # fmt: skip
    pq.write_table(pa.table(columns), folder / "labels" / "death.parquet")
    (folder / "labels" / "death.toml").write_text("name = 'death'\n")


def test_a_re_import_keeps_splits_labels_and_the_withdrawn(tmp_path: Path) -> None:
    out = tmp_path / "site"
    first = replace(SETTINGS, split_key="mine")
    write_records(_rows(range(100), 1), out, first, _silent)
    site = SiteFolder(out)
    splits = read_splits(site)
    # A split that the key would not give: it was fixed by another tool.
    other = {s: "tuning" if s == 5 else split for s, split in splits.items()}
    columns = {"subject_id": list(other), "split": list(other.values())}
    pq.write_table(pa.table(columns), site.splits_file)
    _label(out, [1, 2, 3, 99])
    read_withdrawn(site).with_subjects([3]).write(withdrawn_file(site))
    again = replace(SETTINGS, replace=True)
    summary = write_records(_rows(range(1, 120), 2), out, again, _silent)
    now = read_splits(site)
    assert set(now) == set(range(1, 120)) - {3}
    assert {s: now[s] for s in now if s in other} == {s: other[s] for s in other if s in now}
    assert all(now[s] == split_of(s, "mine") for s in now if s >= 100)
    assert summary.left_out == {"withdrawn_subjects": 1, "labels_without_subject": 1}
    labels = pq.read_table(site.labels_file("death")).column("subject_id").to_pylist()
    assert labels == [1, 2, 99]
    assert (out / "labels" / "death.toml").read_text() == "name = 'death'\n"
    assert 3 in read_withdrawn(site)
    assert set(read_events(site).values.tolist()) == {2.0}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site"]


def test_replacing_is_asked_for_and_fits(tmp_path: Path) -> None:
    out = tmp_path / "site"
    write_records(_rows(range(9), 1), out, SETTINGS, _silent)
    before = _digests(out)
    again = replace(SETTINGS, replace=True)
    other_kind = _rows(range(9), 1)
    other_kind.kind = "other"
    with pytest.raises(DataError, match="exists already"):
        write_records(_rows(range(9), 2), out, SETTINGS, _silent)
    with pytest.raises(DataError, match="another --split-key"):
        write_records(_rows(range(9), 2), out, replace(again, split_key="k"), _silent)
    with pytest.raises(DataError, match="not from 'other'"):
        write_records(other_kind, out, again, _silent)
    with pytest.raises(DataError, match="gave no event"):
        write_records(_rows(range(0), 2), out, again, _silent)
    assert _digests(out) == before
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError, match="no folder that an import made"):
        write_records(_rows(range(9), 2), tmp_path / "mine", again, _silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "site"]


def test_splits_that_the_source_fixes_are_kept(tmp_path: Path) -> None:
    splits = "SELECT range AS subject_id, 'held_out' AS split FROM range(50)"
    plan = _rows(range(100), 1)
    plan._plan = replace(plan._plan, splits=splits)
    write_records(plan, tmp_path / "site", SETTINGS, _silent)
    found = read_splits(SiteFolder(tmp_path / "site"))
    assert all(found[s] == ("held_out" if s < 50 else split_of(s, "fedehr")) for s in found)


# Shards


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=30),
       cuts=st.lists(st.integers(0, 500), max_size=6), limit=st.integers(1, 60))  # fmt: skip
def test_shards_hold_whole_subjects_however_they_are_handed_over(
    lengths: list[int], cuts: list[int], limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    subjects = np.repeat(np.arange(len(lengths)), lengths)
    size = subjects.size
    table = pa.table(
        {"subject_id": subjects, "time": pa.array(np.arange(size)).cast(pa.timestamp("us")),
         "code": [f"C{n % 7}" for n in range(size)], "numeric_value": np.arange(size, dtype="f4"),
         "visit_id": pa.nulls(size, pa.int64())}, schema=DATA_SCHEMA)  # fmt: skip
    folder = tmp_path_factory.mktemp("shards")
    edges = sorted({0, size, *(cut % size for cut in cuts)})
    with ShardWriter(folder / "data", shard_events=limit) as writer:
        for start, end in itertools.pairwise(edges):
            writer.write(table.slice(start, end - start))
    with ShardWriter(folder / "whole" / "data", shard_events=limit) as whole:
        whole.write(table)
    files = SiteFolder(folder).data_files
    shards = [pq.read_table(file) for file in files]
    assert pa.concat_tables(shards).equals(table)
    assert len(files) == writer.num_shards
    held = [set(shard.column("subject_id").to_pylist()) for shard in shards]
    assert sum(map(len, held)) == len(lengths)
    assert all(
        len(shard) - lengths[max(ids)] < limit for shard, ids in zip(shards, held, strict=True)
    )
    assert _digests(folder / "data") == _digests(folder / "whole" / "data")
