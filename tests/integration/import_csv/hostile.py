"""Strategies: tables and mappings that are almost right, and bytes that are not at all."""

import csv
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

CANARY = "Zebra77Ridge"
"""A cell's content: it must never stand in a message."""
MAPPING = """
[source]
name = "fuzz"
[subject]
column = "pid"
[tables]
x = { optional_columns = ["unit"] }
y = { required = false }
[birth]
table = "x"
age = "age"
at = "t"
[[events]]
table = "x"
time = "t"
code = "X//{c}"
value = { column = "n", otherwise = "code" }
unit = "{unit?}"
visit = "stay"
[[events]]
name = "strict"
table = "x"
time = { offset = "n", unit = "hours", since = "t" }
code = "S//{c|none}"
value = "n"
[[events]]
name = "joined"
table = "y"
join = [{ table = "x", on = "pid" }]
time = "x.t"
code = "Y//{x.c}"
delay_hours = 72
[[dictionaries]]
table = "x"
code = "X//{c}"
description = ["c"]
parents = ["P//{unit}"]
"""
HEADER = ("pid", "t", "c", "n", "unit", "stay", "age")
_SOUND = {
    "pid": ["1", "2", "3"],
    "t": ["2020-01-02 03:04:05", "2021-02-03", "2019-12-31T23:59:59"],
    "c": ["a", "b c", "d//e", CANARY],
    "n": ["1", "-2.5", "3e4", "", "positive"],
    "unit": ["mg", "", "%"],
    "stay": ["7", ""],
    "age": ["50", "> 89", ""],
}
_ODD = [
    CANARY, "", " ", "nan", "inf", "-inf", "1e999", "9" * 25, "-9223372036854775808", "0x1F", "1_0",
    "1,5", "0001-01-01", "9999-12-31 23:59:59", "2020-02-30", "1e308", "\u00e9\u0000\u200b", '"',
    "''", "\\", "=cmd()", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "//",
    "{a}", "NULL", "-0", "290000-01-01", "24:00", "2020-03-29 02:30:00",
]  # fmt: skip
cells = st.one_of(st.sampled_from(_ODD), st.text(max_size=12))


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, str]]:
    """Rows of which most cells are sound and some are not."""
    made = []
    for _ in range(draw(st.integers(0, 8))):
        row = {name: draw(st.sampled_from(_SOUND[name])) for name in HEADER}
        for name in draw(st.lists(st.sampled_from(HEADER), max_size=2)):
            row[name] = draw(cells)
        made.append(row)
    return made


@st.composite
def csv_bytes(draw: st.DrawFn) -> bytes:
    """A CSV file, then some of its bytes changed, cut or repeated."""
    stream = io.StringIO()
    header = list(HEADER)
    if draw(st.integers(0, 9)) == 0:
        header = draw(st.permutations(header))[: draw(st.integers(1, 7))]
    writer = csv.DictWriter(
        stream,
        header,
        delimiter=draw(st.sampled_from(",,,;\t|")),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
        extrasaction="ignore",
    )
    writer.writeheader()
    writer.writerows(draw(rows()))
    text = stream.getvalue()
    encoded = text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])), "surrogatepass")
    return _spoil(draw, encoded)


@st.composite
def parquet_bytes(draw: st.DrawFn) -> bytes:
    """A Parquet file of odd types, then some of its bytes changed or cut."""
    made = draw(rows())
    columns: dict[str, Any] = {}
    for name in HEADER:
        texts = [row[name].encode("utf-8", "replace").decode() for row in made]
        kind = draw(st.sampled_from(["text", "text", "text", "odd"]))
        columns[name] = (
            pa.array(texts, pa.string()) if kind == "text" else _odd_column(draw, len(made))
        )
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return _spoil(draw, stream.getvalue())


def _odd_column(draw: st.DrawFn, num: int) -> pa.Array:
    kind, values = draw(
        st.sampled_from(
            [
                (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
                (pa.float64(), st.floats()),
                (pa.bool_(), st.booleans()),
                (pa.binary(), st.binary(max_size=4)),
                (pa.list_(pa.int8()), st.lists(st.integers(-128, 127), max_size=2)),
                (pa.timestamp("ns"), st.integers(-(2**62), 2**62)),
                (pa.timestamp("us", "Europe/Paris"), st.integers(-(2**62), 2**62)),
                (pa.date32(), st.integers(-(2**30), 2**30)),
                (pa.time64("us"), st.integers(0, 86_399_999_999)),
                (pa.decimal128(38, 9), st.none()),
                (pa.null(), st.none()),
            ]
        )
    )
    made = [draw(st.one_of(st.none(), values)) for _ in range(num)]
    return pa.array(made, kind) if not pa.types.is_temporal(kind) else _temporal(made, kind)


def _temporal(values: list[Any], kind: pa.DataType) -> pa.Array:
    width = pa.int32() if kind == pa.date32() else pa.int64()
    return pa.array(values, width).view(kind)


def _spoil(draw: st.DrawFn, content: bytes) -> bytes:
    """Half of the files as they are, half with one to three wounds."""
    if draw(st.booleans()):
        return content
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        match draw(st.integers(0, 3)):
            case 0:
                content = content[:at]
            case 1:
                content = content[:at] + draw(st.binary(min_size=1, max_size=4)) + content[at:]
            case 2:
                content = content[:at] + content[at + 1 :]
            case _:
                content = content[:at] + content[max(at - 20, 0) : at] + content[at:]
    return content


_values = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.floats(),
        cells,
        st.sampled_from(
            ["x", "y", "pid", "t", "c", "n", "x.t", "z.t", "X//{c}", "{c", "%Y", "end"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["table", "column", "time", "code", "value", "on", "where", "equals", "odd", "x"]
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=5,
)


@st.composite
def mapping_values(draw: st.DrawFn, sound: dict[str, Any]) -> dict[str, Any]:
    """The sound mapping with one to three of its values replaced, removed or added to."""
    changed = _copy(sound)
    for _ in range(draw(st.integers(1, 3))):
        place: Any = changed
        for _ in range(draw(st.integers(0, 5))):
            inner = [v for v in _inside(place) if isinstance(v, dict | list) and v]
            if not inner:
                break
            place = draw(st.sampled_from(inner))
        _change(draw, place)
    return changed


def _change(draw: st.DrawFn, place: Any) -> None:
    if isinstance(place, list):
        place[draw(st.integers(0, len(place) - 1))] = draw(_values)
        return
    keys = sorted(place) or ["odd"]
    key = draw(st.sampled_from([*keys, "visit", "static", "delay_hours", "subject", "odd"]))
    if draw(st.integers(0, 3)) == 0:
        place.pop(key, None)
    else:
        place[key] = draw(_values)


def _inside(place: Any) -> list[Any]:
    return list(place.values()) if isinstance(place, dict) else list(place)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value
