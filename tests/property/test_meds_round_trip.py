"""Whatever MEDS another tool wrote: the import holds the same events, valid, sorted, complete."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from meds import (
    CodeMetadataSchema,
    DataSchema,
    DatasetMetadataSchema,
    LabelSchema,
    SubjectSplitSchema,
)

from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.importer import run_import
from fedehr_client.importers.meds.importer import MedsImporter
from fedehr_client.importers.meds.renames import RENAMED
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import SPLITS
from fedehr_shared.meds.splits import DEFAULT_SPLIT_KEY, split_of

_FIRST, _LAST = datetime(1850, 1, 2), datetime(2261, 12, 30)
_BLANKS = " \t\r\n"
_codes = (
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
    .map(lambda text: text.strip(_BLANKS))
    .filter(lambda text: text != "" and text not in RENAMED)
)
_times = st.none() | st.datetimes(_FIRST, _LAST)
_values = st.none() | st.floats(width=32, allow_infinity=False)
_ids = st.integers(-(2**63), 2**63 - 1)


@dataclass(frozen=True)
class Dataset:
    """What is written, and how."""

    events: list[tuple[int, datetime | None, str, float | None, int | None]]
    shard_of_event: list[int]
    parents: dict[str, list[str]] | None
    splits: dict[int, str] | None
    labels: dict[int, tuple[datetime, bool]]
    is_old: bool
    time_type: pa.DataType
    is_dictionary: bool


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    subjects = draw(st.lists(_ids, min_size=1, max_size=6, unique=True))
    codes = draw(st.lists(_codes, min_size=1, max_size=6, unique=True))
    times = draw(st.lists(_times, min_size=1, max_size=5))
    event = st.tuples(
        st.sampled_from(subjects), st.sampled_from(times), st.sampled_from(codes), _values,
        st.none() | st.integers(0, 3),
    )  # fmt: skip
    events = draw(st.lists(event, min_size=1, max_size=40))
    shards = draw(st.lists(st.integers(0, 3), min_size=len(events), max_size=len(events)))
    parents = st.dictionaries(st.sampled_from(codes), st.lists(_codes, max_size=2), max_size=4)
    return Dataset(
        events=events,
        shard_of_event=shards,
        parents=draw(st.none() | parents),
        splits=draw(
            st.none() | st.dictionaries(st.sampled_from(subjects), st.sampled_from(SPLITS))
        ),
        labels=draw(
            st.dictionaries(
                st.sampled_from(subjects), st.tuples(st.datetimes(_FIRST, _LAST), st.booleans())
            )
        ),
        is_old=draw(st.booleans()),
        time_type=draw(
            st.sampled_from([pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("us", "UTC")])
        ),
        is_dictionary=draw(st.booleans()),
    )


def _write(dataset: Dataset, folder: Path) -> None:
    (folder / "metadata").mkdir(parents=True)
    subject = "patient_id" if dataset.is_old else "subject_id"
    code_type = pa.dictionary(pa.int32(), pa.string()) if dataset.is_dictionary else pa.string()
    for shard in set(dataset.shard_of_event):
        pairs = zip(dataset.shard_of_event, dataset.events, strict=True)
        ids, times, codes, values, visits = zip(
            *(event for at, event in pairs if at == shard), strict=True
        )
        columns = {
            subject: pa.array(ids, pa.int64()),
            "time": pa.array(times, pa.timestamp("us")).cast(dataset.time_type),
            "code": pa.array(codes, pa.string()).cast(code_type),
            "numeric_value": pa.array(values, pa.float64() if dataset.is_old else pa.float32()),
            "hadm_id" if dataset.is_old else "visit_id": pa.array(visits, pa.int64()),
        }
        file = folder / "data" / ("all" if dataset.is_old else ".") / f"{shard}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), file)
    if dataset.parents is not None:
        pq.write_table(
            pa.table(
                {
                    "code": pa.array(list(dataset.parents), pa.string()),
                    "description": pa.array([None] * len(dataset.parents), pa.string()),
                    "parent_codes": pa.array(list(dataset.parents.values()), pa.list_(pa.string())),
                }
            ),
            folder / "metadata" / "codes.parquet",
        )
    if dataset.splits is not None:
        name = "patient_splits" if dataset.is_old else "subject_splits"
        columns = {
            subject: pa.array(list(dataset.splits), pa.int64()),
            "split": pa.array(list(dataset.splits.values()), pa.string()),
        }
        pq.write_table(pa.table(columns), folder / "metadata" / f"{name}.parquet")
    if dataset.labels:
        times, values = zip(*dataset.labels.values(), strict=True)
        columns = {
            subject: pa.array(list(dataset.labels), pa.int64()),
            "prediction_time": pa.array(times, pa.timestamp("us")),
            "boolean_value": pa.array(values, pa.bool_()),
        }
        (folder / "labels").mkdir()
        pq.write_table(pa.table(columns), folder / "labels" / "death.parquet")


def _plain(event: tuple[Any, ...]) -> tuple[Any, ...]:
    """As it is after an import: a value that is no number is none, and zero has no sign."""
    subject, time, code, value, visit = event
    value = None if value is None or math.isnan(value) else value + 0.0
    return subject, time, code, value, visit


def _events_of(file: Path) -> list[tuple[Any, ...]]:
    table = pq.read_table(file)
    columns = ("subject_id", "time", "code", "numeric_value", "visit_id")
    return list(zip(*(table.column(name).to_pylist() for name in columns), strict=True))


def _check(site: SiteFolder, dataset: Dataset) -> None:
    shards = [_events_of(file) for file in site.data_files]
    events = [event for shard in shards for event in shard]
    assert Counter(events) == Counter({_plain(event): 1 for event in dataset.events})
    first = datetime.min
    for shard in shards:
        assert shard == sorted(shard, key=lambda event: (event[0], event[1] or first, event[2]))
    placed = [event[0] for shard in shards for event in {e[0]: e for e in shard}.values()]
    assert len(placed) == len(set(placed))
    for file in site.data_files:
        DataSchema.validate(pq.read_table(file))

    codes = pq.read_table(site.codes_file)
    CodeMetadataSchema.validate(codes)
    listed = codes.column("code").to_pylist()
    used = {event[2] for event in events}
    above = {parent for parents in codes.column("parent_codes").to_pylist() for parent in parents}
    assert len(listed) == len(set(listed))
    assert used | above <= set(listed)
    for code in used & set(dataset.parents or {}):
        wanted = {text for each in dataset.parents[code] if (text := each) != code}
        assert set(codes.column("parent_codes").to_pylist()[listed.index(code)]) == wanted

    splits = pq.read_table(site.splits_file)
    SubjectSplitSchema.validate(splits)
    assert dict(zip(*splits.to_pydict().values(), strict=True)) == {
        subject: (dataset.splits or {}).get(subject) or split_of(subject, DEFAULT_SPLIT_KEY)
        for subject in placed
    }
    DatasetMetadataSchema.validate(json.loads(site.dataset_file.read_text()))
    if dataset.labels:
        labels = pq.read_table(site.labels_file("death"))
        LabelSchema.validate(labels)
        found = {i: (t, v) for i, t, v in zip(*labels.to_pydict().values(), strict=True)}
        assert found == {i: label for i, label in dataset.labels.items() if i in placed}


def _import(source: Path, out: Path) -> Any:
    return run_import(
        MedsImporter(source), out, ImportSettings(memory_limit_bytes=8 * 10**9), lambda _: None
    )


def _contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


_settings = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def _round_trip(folder: Path, dataset: Dataset) -> None:
    _write(dataset, folder / "source")
    before = _contents(folder / "source")
    _import(folder / "source", folder / "site")
    assert _contents(folder / "source") == before
    _check(SiteFolder(folder / "site"), dataset)
    again = _import(folder / "site", folder / "again")
    assert again.repairs == {}
    assert again.left_out == {}
    first, second = _contents(folder / "site"), _contents(folder / "again")
    first.pop("metadata/import.json")
    second.pop("metadata/import.json")
    assert first == second


@settings(_settings, max_examples=25)
@given(dataset=datasets())
def test_import_and_read_back(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> None:
    _round_trip(tmp_path_factory.mktemp("meds"), dataset)


@pytest.mark.long
@settings(_settings, max_examples=300)
@given(dataset=datasets())
def test_import_and_read_back_many(
    tmp_path_factory: pytest.TempPathFactory, dataset: Dataset
) -> None:
    _round_trip(tmp_path_factory.mktemp("meds"), dataset)
