"""Events read as a stream, whatever the shards, batches and kinds of columns they lie in."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.errors import DataError
from fedehr_shared.meds.code_table import read_codes
from fedehr_shared.meds.event_stream import stream_events
from fedehr_shared.meds.events import NO_TIME, NO_VISIT, Events
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_events
from fedehr_shared.meds.schema import CODES_SCHEMA, DATA_SCHEMA

NAMES = ("A", "B//1", "C", "never used")
Row = tuple[int, int | None, str, float | None, int | None]
CODE_KINDS = {
    "string": pa.string(),
    "large_string": pa.large_string(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
    "small dictionary": pa.dictionary(pa.int8(), pa.large_string()),
}


@st.composite
def shards(draw: st.DrawFn) -> list[list[Row]]:
    """Sorted subjects over a few shards, some of them empty."""
    ids = draw(st.lists(st.integers(-5, 2**62), unique=True, min_size=1, max_size=6))
    found: list[list[Row]] = [[] for _ in range(draw(st.integers(1, 4)))]
    for subject in ids:
        times = draw(st.lists(st.none() | st.integers(-9, 9), min_size=1, max_size=8))
        times.sort(key=lambda time: NO_TIME if time is None else time)
        shard = found[draw(st.integers(0, len(found) - 1))]
        for time in times:
            code = draw(st.sampled_from(NAMES[:3]))
            value = draw(st.sampled_from([None, 1.5, -2.0]))
            visit = draw(st.none() | st.integers(0, 3))
            shard.append((subject, time, code, value, visit))
    return found


def _site(folder: Path) -> SiteFolder:
    """A site with codes and no shard yet; each example writes over the last one's."""
    (folder / "metadata").mkdir(exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    for file in (folder / "data").iterdir():
        file.unlink()
    site = SiteFolder(folder)
    pq.write_table(pa.table({"code": list(NAMES)}), site.codes_file)
    return site


def _table(rows: Sequence[Row]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [[]] * 5
    arrays = [
        pa.array(column, field.type) for column, field in zip(columns, DATA_SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(arrays, names=DATA_SCHEMA.names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("streamed")


@settings(deadline=None, max_examples=150)
@given(
    content=shards(),
    kind=st.sampled_from(sorted(CODE_KINDS)),
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    is_full=st.booleans(),
)
def test_a_stream_is_the_shards_in_whole_subjects(
    content: list[list[Row]], kind: str, sizes: tuple[int, int], is_full: bool, folder: Path
) -> None:
    num_rows, group_rows = sizes
    site = _site(folder)
    for number, rows in enumerate(content):
        table = _table(rows)
        table = table.set_column(2, "code", table.column("code").cast(CODE_KINDS[kind]))
        if not is_full:
            table = table.drop_columns(["numeric_value", "visit_id"])
        pq.write_table(
            table, folder / "data" / f"{number}.parquet",
            row_group_size=group_rows, use_dictionary=kind != "string",
        )  # fmt: skip
    expected = [row if is_full else (*row[:3], None, None) for rows in content for row in rows]
    chunks = list(stream_events(site, read_codes(site), num_rows=num_rows))
    assert [row for chunk in chunks for row in _rows(chunk)] == expected
    seen: set[int] = set()
    for chunk in chunks:
        own = set(chunk.subject_ids.tolist())
        assert own
        assert not own & seen
        seen |= own
        # Only the largest subject may make a chunk much longer than was asked for.
        longest = max(np.bincount(np.unique(chunk.subject_ids, return_inverse=True)[1]))
        assert len(chunk) < 2 * num_rows + longest
    assert _rows(read_events(site)) == expected


def _rows(events: Events) -> list[Row]:
    assert events.codes == NAMES
    assert [column.dtype for column in (
        events.subject_ids, events.times, events.code_indices, events.values, events.visit_ids
    )] == [np.int64, np.int64, np.int32, np.float32, np.int64]  # fmt: skip
    return [
        (
            int(subject),
            None if time == NO_TIME else int(time),
            NAMES[code],
            None if np.isnan(value) else float(value),
            None if visit == NO_VISIT else int(visit),
        )
        for subject, time, code, value, visit in zip(
            events.subject_ids, events.times, events.code_indices, events.values,
            events.visit_ids, strict=True,
        )
    ]  # fmt: skip


SORTED: list[Row] = [
    (777001, None, "A", None, None),
    (777001, 5, "A", 1.0, 1),
    (777001, 6, "C", None, 1),
    (777002, 2, "A", None, None),
]
HIDDEN = ("777", "SECRET", "424242")
"""What stands in the records below and may stand in no message."""


def _swapped(first: int, second: int) -> list[Row]:
    rows = list(SORTED)
    rows[first], rows[second] = rows[second], rows[first]
    return rows


@pytest.mark.parametrize("num_rows", [1, 100])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([[*SORTED, (777001, 9, "A", None, None)]], "sorted"),
        ([SORTED, [(777001, 9, "A", None, None)]], "two shards"),
        ([SORTED, [(777002, 9, "A", None, None)]], "two shards"),
        ([SORTED, [(777009, 9, "A", None, None)], SORTED[:1]], "two shards"),
        ([_swapped(1, 2)], r"0\.parquet are not sorted"),
        ([_swapped(0, 1)], r"0\.parquet are not sorted"),
        ([SORTED[:1], _swapped(1, 2)[1:3]], r"1\.parquet are not sorted|two shards"),
        ([SORTED, [(777005, 9, "SECRET", None, None)]], r"1\.parquet.*codes\.parquet"),
        ([[]], "has no events"),
    ],
)
def test_what_is_not_as_meds_says_is_told_without_content(
    content: list[list[Row]], words: str, num_rows: int, tmp_path: Path
) -> None:
    site = _site(tmp_path)
    for number, rows in enumerate(content):
        pq.write_table(_table(rows), tmp_path / "data" / f"{number}.parquet")
    with pytest.raises(DataError, match=words) as caught:
        list(stream_events(site, read_codes(site), num_rows=num_rows))
    _assert_hides_records(caught.value)


def _assert_hides_records(error: BaseException | None) -> None:
    while error is not None:
        text = str(error).replace(str(Path.cwd()), "")
        assert not [word for word in HIDDEN if word in text]
        error = None if error.__suppress_context__ else error.__context__


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"subject_id": pa.array(["777001"] * 4)}, r"\['subject_id'\] of another type"),
        ({"subject_id": pa.array([777001, None, 777001, 777002])}, "without a subject"),
        ({"subject_id": pa.array([2**63 + 424242] * 4, pa.uint64())}, "cannot read"),
        ({"code": pa.array(["A", None, "SECRET", "A"])}, "without a subject or a code"),
        ({"code": pa.array([424242] * 4)}, "another type"),
        ({"time": pa.array(["SECRET"] * 4)}, "another type"),
        ({"time": pa.array([424242_001] * 4, pa.timestamp("ns"))}, "cannot read"),
        ({"numeric_value": pa.array(["SECRET"] * 4)}, "another type"),
        ({"visit_id": pa.array(["7770"] * 4)}, "another type"),
        ({"time": None}, r"lacks the column\(s\) \['time'\]"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_another_kind_of_column_is_told_without_content(
    change: dict[str, pa.Array | None], words: str, tmp_path: Path
) -> None:
    site, table = _site(tmp_path), _table(SORTED)
    for name, column in change.items():
        place = table.column_names.index(name)
        table = table.remove_column(place)
        if column is not None:
            table = table.add_column(place, name, column)
    pq.write_table(table, tmp_path / "data" / "0.parquet")
    with pytest.raises(DataError, match=words) as caught:
        list(stream_events(site, read_codes(site)))
    _assert_hides_records(caught.value)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_damaged_shard_is_told_or_harmless(data: st.DataObject, folder: Path) -> None:
    """Parquet has no checksum over all of a file; what is no longer readable is a clear error."""
    site = _site(folder)
    file = folder / "data" / "0.parquet"
    pq.write_table(_table(SORTED), file)
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    del content[data.draw(st.integers(0, len(content))) :]
    file.write_bytes(content)
    try:
        list(stream_events(site, read_codes(site)))
    except DataError as error:
        assert "Import" in str(error)  # noqa: PT017 (no error is right as well)


def test_codes_keep_their_delays_and_descriptions(tmp_path: Path) -> None:
    site = _site(tmp_path)
    rows = [{"code": "A", "delay_hours": 72.0}, {"code": "B//1", "description": "b"}]
    pq.write_table(pa.Table.from_pylist(rows, schema=CODES_SCHEMA), site.codes_file)
    pq.write_table(_table(SORTED[:2]), tmp_path / "data" / "0.parquet")
    (chunk,) = stream_events(site, read_codes(site))
    assert chunk.codes == ("A", "B//1")
    assert read_codes(site).delay_hours.tolist() == [72.0, 0.0]
