"""Source tables: what is read, what is refused, and that a bad row never shows its content."""

import csv
import gzip
import io
import threading
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedehr_client.importers.engine.csv_file import CsvFormat
from fedehr_client.importers.engine.load import open_relation, open_table
from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.engine.source_folder import SourceFolder
from fedehr_client.importers.engine.table import Column, SourceTable
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_shared.errors import DataError, FedehrError

TABLE = SourceTable(
    "t",
    (
        Column("id", "integer", required=True),
        Column("amount", "number"),
        Column("at", "time"),
        Column("on", "date"),
        Column("note", "text", aliases=("remark",)),
    ),
)
WriteTable = Callable[[Path, list[list[Any]]], Path]
HEADER = ["id", "amount", "at", "on", "note"]


def _rows(workspace: Workspace) -> list[tuple[Any, ...]]:
    return workspace.connection.execute("SELECT * FROM t ORDER BY ALL").fetchall()


def _bad(workspace: Workspace) -> dict[str, list[int]]:
    told = workspace.bad_rows.to_dict()["t"]["bad_rows"]
    return {reason: bad["rows"] for reason, bad in told.items()}


def _forget(workspace: Workspace) -> None:
    workspace.connection.execute("DROP VIEW IF EXISTS t")
    workspace.bad_rows.tables.clear()


GOOD = {
    "integers": (["7", "", "", "", ""], (7, None, None, None, None)),
    "pandas' integers": (["7.0", "", "", "", ""], (7, None, None, None, None)),
    "numbers": (["1", "-1.5e3", "", "", ""], (1, -1500.0, None, None, None)),
    "blanks": (["  1 ", "", "", "", "  a b\t"], (1, None, None, None, "a b")),
    "iso": (["1", "", "2020-02-03T04:05", "2020-02-03", ""],
            (1, None, datetime(2020, 2, 3, 4, 5), date(2020, 2, 3), None)),
    "fraction": (["1", "", "2020-02-03 04:05:06.789", "", ""],
                 (1, None, datetime(2020, 2, 3, 4, 5, 6, 789000), None, None)),
    "a day ends at its end": (["1", "", "2020-02-03", "2020-02-03 10:00:00", ""],
                              (1, None, datetime(2020, 2, 3, 23, 59, 59), date(2020, 2, 3), None)),
    "other days": (["1", "", "03.02.2020 04:05", "20200203", ""],
                   (1, None, datetime(2020, 2, 3, 4, 5), date(2020, 2, 3), None)),
    "quotes": (["1", "", "", "", 'a "quoted", note\nin two lines'],
               (1, None, None, None, 'a "quoted", note\nin two lines')),
}  # fmt: skip


@pytest.mark.parametrize("case", GOOD)
def test_what_is_read(
    case: str, workspace: Workspace, tmp_path: Path, write_table: WriteTable
) -> None:
    cells, expected = GOOD[case]
    open_table(workspace, TABLE, [write_table(tmp_path / "t.csv", [HEADER, cells])])
    assert _rows(workspace) == [expected]
    assert _bad(workspace) == {}


BAD = {
    "text for an integer": (["SECRET", "", "", "", ""], "id is not a whole number"),
    "a fraction for an integer": (["7.5", "", "", "", ""], "id is not a whole number"),
    "too large": (["99999999999999999999", "", "", "", ""], "id is not a whole number"),
    "underscores": (["1_0", "", "", "", ""], "id is not a whole number"),
    "nothing": (["", "", "", "", "SECRET"], "id is empty"),
    "a decimal comma": (["1", "1,5", "", "", ""], "amount is not a number"),
    "no day": (["1", "", "2020-02-30", "", ""], "at is not a time"),
    "two readings": (["1", "", "01/02/2020", "", ""], "at is not a time"),
    "endless": (["1", "", "infinity", "", ""], "at is not a time"),
    "a filler": (["1", "", "1800-01-01", "", ""], "at lies before 1850 or in the future"),
    "the future": (["1", "", "", "2150-01-01", ""], "on lies before 1850 or in the future"),
    "too few": (["1", "SECRET"], "has fewer fields than the header"),
    "too many": (["1", "", "", "", "", "SECRET"], "has more fields than the header"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_counted_and_numbered(
    case: str, workspace: Workspace, tmp_path: Path, write_table: WriteTable
) -> None:
    cells, reason = BAD[case]
    good = ["1", "", "", "", "ok"]
    short = ["2"]
    rows = [HEADER, good, short, cells, good, cells]
    open_table(workspace, TABLE, [write_table(tmp_path / "t.csv.gz", rows)])
    bad = _bad(workspace)
    if reason == "has fewer fields than the header":
        assert bad == {reason: [2, 3, 5]}
    else:
        assert bad == {"has fewer fields than the header": [2], reason: [3, 5]}
    assert len(_rows(workspace)) == 2
    assert workspace.bad_rows.tables["t"].num_rows == 5


def test_blank_lines_are_no_rows(workspace: Workspace, tmp_path: Path) -> None:
    lines = ["id,note", "1,ok", "", '2,"two', 'lines"', "", "3", "", "x,y", "4,ok", "", "", "5"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    open_table(workspace, TABLE, [tmp_path / "t.csv"])
    assert _bad(workspace) == {
        "has fewer fields than the header": [3, 6],
        "id is not a whole number": [4],
    }
    assert [row[0] for row in _rows(workspace)] == [1, 2, 4]


def test_too_many_bad_rows_refuse_the_table_and_show_nothing(
    tmp_path: Path, write_table: WriteTable
) -> None:
    rows = [["id"], *[["SECRET" if n % 10 == 0 else "1"] for n in range(100)]]
    file = write_table(tmp_path / "t.csv", rows)
    with (
        Workspace(
            ImportSettings(memory_limit_bytes=8 * 10**9, max_bad_share=0.09), beside=tmp_path
        ) as workspace,
        pytest.raises(DataError, match=r"10 of 100 rows are bad.*row 1, 11, 21"),
    ):
        open_table(workspace, TABLE, [file])
    with Workspace(
        ImportSettings(memory_limit_bytes=8 * 10**9, max_bad_share=0.1), beside=tmp_path
    ) as workspace:
        open_table(workspace, TABLE, [file])
        assert workspace.bad_rows.tables["t"].num_bad == 10


CELLS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=20
).map(lambda text: text.strip())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), CELLS), max_size=30),
    bad=st.sets(st.integers(0, 29)),
    form=st.tuples(st.sampled_from(",;\t|"), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])),
)
def test_any_table_comes_back_with_its_bad_rows_numbered(
    rows: list[tuple[int, str]],
    bad: set[int],
    form: tuple[str, str],
    workspace: Workspace,
    tmp_path: Path,
) -> None:  # fmt: skip
    table = SourceTable("t", (Column("id", "integer"), Column("note", "text")))
    delimiter, encoding = form
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["note", "ID"])
    bad = {place for place in bad if place < len(rows)}
    for place, (number, note) in enumerate(rows):
        writer.writerow([note, "x" if place in bad else number])
    file = tmp_path / "t.csv"
    file.write_bytes(text.getvalue().encode(encoding))
    open_table(workspace, table, [file])
    expected = [(n, note.strip(" \t\r\n") or None)
                for place, (n, note) in enumerate(rows) if place not in bad]  # fmt: skip
    found = workspace.connection.execute("SELECT id, note FROM t").fetchall()
    numbers = sorted(place + 1 for place in bad)
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert _bad(workspace) == ({"id is not a whole number": numbers} if numbers else {})
    _forget(workspace)


def _refusal(workspace: Workspace, file: Path) -> str | None:
    try:
        open_table(workspace, TABLE, [file])
    except FedehrError as error:
        return str(error)
    return None


def _fuzz(workspace: Workspace, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    refusal = _refusal(workspace, file)
    if refusal is None:
        read = workspace.bad_rows.tables["t"]
        assert len(_rows(workspace)) + read.num_bad == read.num_rows
    assert "SECRET" not in f"{refusal} {workspace.bad_rows.to_dict()}"
    _forget(workspace)


PIECES = st.sampled_from(
    [b"id", b"amount", b"at", b"note", b",", b";", b"\t", b"\n", b"\r\n", b"\r", b'"', b'""', b"1",
     b"SECRET", b"2020-01-01", b"\xff", b"\x00", b"\xc3\xa9", b"\xef\xbb\xbf", b"\xff\xfe", b" ",
     b"infinity", b"nan", b"-", b"1e999", b"'", b"\\", b"id,note\n", b"id,amount,at,on,note\n"]
)  # fmt: skip
HOSTILE = st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=60).map(b"".join))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture],
          deadline=None)  # fmt: skip
@given(content=HOSTILE)
def test_hostile_csv_is_read_or_refused(
    content: bytes, workspace: Workspace, tmp_path: Path
) -> None:
    _fuzz(workspace, tmp_path / "t.csv", content)


@pytest.mark.long
@settings(max_examples=10_000, suppress_health_check=list(HealthCheck), deadline=None)
@given(content=HOSTILE, packed=st.booleans())
def test_ten_thousand_hostile_files(
    content: bytes, packed: bool, workspace: Workspace, tmp_path: Path
) -> None:
    _fuzz(workspace, tmp_path / "t.csv", gzip.compress(content) if packed else content)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture],
          deadline=None)  # fmt: skip
@given(place=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.booleans())
def test_damaged_gzip_and_parquet_are_named(
    place: int, value: int, cut: bool, workspace: Workspace, tmp_path: Path
) -> None:
    text = "id,note\n" + "".join(f"{n},SECRET{n * 7919 % 1009}\n" for n in range(300))
    packed = gzip.compress(text.encode(), mtime=0)
    whole = pa.BufferOutputStream()
    numbers = list(range(300))
    pq.write_table(pa.table({"id": numbers, "note": ["SECRET"] * 300}), whole)
    for name, content in (("t.csv.gz", packed), ("t.parquet", whole.getvalue().to_pybytes())):
        at = 10 + place % (len(content) - 20)
        damaged = content[:at] if cut else content[:at] + bytes([value]) + content[at + 1 :]
        file = tmp_path / name
        file.write_bytes(damaged)
        refusal = _refusal(workspace, file)
        assert refusal is None or (name in refusal and "SECRET" not in refusal)
        if refusal is None and name == "t.csv.gz":
            assert len(_rows(workspace)) == 300
            assert damaged == content
        _forget(workspace)


def test_a_quote_that_is_never_closed_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    rows = [f"{n},SECRET\n" for n in range(200_000)]
    rows[1000] = '1000,"SECRET\n'
    file.write_text("id,note\n" + "".join(rows))
    with pytest.raises(DataError, match="cannot be told apart after row 1000") as refused:
        open_table(workspace, TABLE, [file])
    assert "SECRET" not in str(refused.value)


ENCODED = {
    "latin-1": (None, "caf\xe9"),
    "cp1252": (None, "\u20ac caf\xe9"),
    "utf-8": (None, "\u20ac caf\xe9"),
    "utf-8-sig": (None, "\u20ac caf\xe9"),
    "utf-16": (None, "\u20ac caf\xe9"),
    "utf-16-be": ("UTF-16BE", "\u20ac caf\xe9"),
    "iso8859-15": ("ISO-8859-15", "\u20ac caf\xe9"),
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_encodings(encoding: str, workspace: Workspace, tmp_path: Path) -> None:
    stated, note = ENCODED[encoding]
    file = tmp_path / "t.csv"
    file.write_bytes(f"id,note\n1,{note}\n".encode(encoding))
    open_table(workspace, TABLE, [file], CsvFormat(encoding=stated))
    assert [row[4] for row in _rows(workspace)] == [note]


def test_bytes_that_are_not_of_the_encoding_are_bad_rows(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes("id,note\n1,caf\xe9\n".encode() + b"2,SECRET\xff\n3,ok\n")
    open_table(workspace, TABLE, [file])
    assert _bad(workspace) == {"holds bytes that are not of the encoding": [2]}
    _forget(workspace)
    file.write_bytes(b"id,note\n1,caf\xe9\n2,SECRET\x81\n3,ok\n")
    open_table(workspace, TABLE, [file], CsvFormat(encoding="windows-1252"))
    assert _bad(workspace) == {"holds bytes that are not of the encoding": [2]}
    assert [row[4] for row in _rows(workspace)] == ["caf\xe9", "ok"]


def test_a_folder_of_parts_in_any_case(
    workspace: Workspace, tmp_path: Path, write_table: WriteTable
) -> None:
    write_table(tmp_path / "src[1]" / "T" / "part-1.CSV", [["ID"], ["1"], ["x"]])
    write_table(tmp_path / "src[1]" / "T" / "part-2.csv.gz", [["id", "remark"], ["2", "b"], ["y"]])
    pq.write_table(pa.table({"iD": ["3", "z"]}), tmp_path / "src[1]" / "T" / "part-3.parquet")
    files = SourceFolder(tmp_path / "src[1]").find("t")
    open_table(workspace, TABLE, files)
    assert [(row[0], row[4]) for row in _rows(workspace)] == [(1, None), (2, "b"), (3, None)]
    assert _bad(workspace) == {
        "id is not a whole number": [2, 6],
        "has fewer fields than the header": [4],
    }
    write_table(tmp_path / "src[1]" / "t.csv", [["ID"]])
    with pytest.raises(DataError, match="more than once"):
        SourceFolder(tmp_path / "src[1]").find("t")
    assert SourceFolder(tmp_path / "src[1]").find("other") == []


def test_typed_parquet_and_relations(workspace: Workspace, tmp_path: Path) -> None:
    whole = pa.table(
        {
            "id": pa.array([1.0, 2.5, None, 4.0]),
            "amount": pa.array([1, 2, 3, 4], pa.decimal128(10, 2)),
            "at": pa.array([datetime(2020, 1, 1, 5), None, None, datetime(1700, 1, 1)]),
            "on": pa.array([date(2020, 1, 1)] * 4),
            "note": ["a", "b", "c", "d"],
        }
    )
    pq.write_table(whole, tmp_path / "t.parquet")
    expected = [(1, 1.0, datetime(2020, 1, 1, 5), date(2020, 1, 1), "a")]
    reasons = {"id is not a whole number": [2], "id is empty": [3],
               "at lies before 1850 or in the future": [4]}  # fmt: skip
    open_table(workspace, TABLE, [tmp_path / "t.parquet"])
    assert (_rows(workspace), _bad(workspace)) == (expected, reasons)
    _forget(workspace)
    workspace.connection.register("stream", whole.to_reader())
    open_relation(workspace, TABLE, "stream")
    assert (_rows(workspace), _bad(workspace)) == (expected, reasons)


HEADS = {
    "no header": (b"", "begins with no header"),
    "no column": (b"note\nx\n", "lacks column"),
    "a column twice": (b"id,ID\n1,2\n", "2 times"),
}


@pytest.mark.parametrize("case", HEADS)
def test_headers_that_are_refused(case: str, workspace: Workspace, tmp_path: Path) -> None:
    content, fragment = HEADS[case]
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=fragment):
        open_table(workspace, TABLE, [tmp_path / "t.csv"])


@pytest.mark.parametrize(("kind", "least"), [(pa.float64(), 2**53), (pa.float32(), 2**24)])
def test_a_float_that_stands_for_several_integers_is_none(
    kind: pa.DataType, least: int, workspace: Workspace, tmp_path: Path
) -> None:
    numbers = pa.array([least - 1, 1 - least, least, -least, None], kind)
    pq.write_table(pa.table({"id": numbers}), tmp_path / "t.parquet")
    open_table(workspace, TABLE, [tmp_path / "t.parquet"])
    assert [row[0] for row in _rows(workspace)] == [1 - least, least - 1]
    assert _bad(workspace) == {"id is not a whole number": [3, 4], "id is empty": [5]}


def test_a_file_that_is_still_being_written_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    file, is_read = tmp_path / "t.csv", threading.Event()
    file.write_text("id,note\n" + "1,ok\n" * 1_000_000)

    def write() -> None:
        with file.open("a") as stream:
            while not is_read.wait(0.01):
                stream.write("2,later\n")
                stream.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(DataError, match=r"t\.csv changed while it was read"):
            open_table(workspace, TABLE, [file])
    finally:
        is_read.set()
        writer.join()
