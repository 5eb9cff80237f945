"""What holds of every table that the mapping language reads."""

import string
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fedehr_client.identity import IdentityHash
from fedehr_client.importers.csv.code_template import CodeField, CodeTemplate
from fedehr_client.importers.csv.importer import CsvImporter
from fedehr_client.importers.csv.mapping import Mapping
from fedehr_client.importers.csv.number_functions import register_numbers
from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.engine.write import write_records
from fedehr_shared.config.section import parse

MAPPING = parse(
    {
        "source": {"name": "property"},
        "subject": {"column": "pid"},
        "events": [
            {
                "table": "x",
                "time": {"offset": "minutes", "unit": "minutes", "since": "t"},
                "code": "X//{c}//{d?}",
                "value": "n",
                "unit": "{u?}",
                "visit": "stay",
            }
        ],
    },
    Mapping,
    "here",
)
FIRST = datetime(2000, 1, 1)
words = (
    st.text(string.ascii_letters + string.digits + " .-%/", max_size=6)
    .map(lambda text: "/".join(part for part in " ".join(text.split()).split("/") if part.strip()))
    .map(lambda text: " ".join(text.split()).strip(" /"))
)
table_rows = st.lists(
    st.fixed_dictionaries(
        {
            "pid": st.integers(1, 4),
            "t": st.integers(0, 6 * 10**8).map(lambda seconds: FIRST + timedelta(seconds=seconds)),
            "minutes": st.integers(-10_000, 10_000),
            "c": words,
            "d": words,
            "n": st.one_of(st.none(), st.floats(-1e6, 1e6, width=32)),
            "u": words,
            "stay": st.one_of(st.none(), st.integers(1, 9)),
        }
    ),
    min_size=1,
    max_size=30,
)
Save = Callable[..., Path]


def _expected(row: dict[str, Any]) -> tuple[Any, ...]:
    code = "//".join(["X", row["c"], *[part for part in (row["d"], row["u"]) if part]])
    value = None if row["n"] is None else row["n"] + 0.0
    time = row["t"] + timedelta(minutes=row["minutes"])
    return (row["pid"], time, code, value, row["stay"])


@settings(
    max_examples=15,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    rows=table_rows.filter(lambda rows: any(row["c"] for row in rows)),
    random=st.randoms(use_true_random=False),
)
def test_events_are_those_that_python_makes_of_the_rows_in_any_order(
    rows: list[dict[str, Any]], random: Any, tmp_path_factory: Any, save_tables: Save
) -> None:
    place = tmp_path_factory.mktemp("property")
    shuffled = random.sample(rows, len(rows))
    found = []
    for name, order in (("a", rows), ("b", shuffled)):
        source = save_tables(place / f"tables-{name}", {"x": order})
        importer = CsvImporter(source, MAPPING, place)
        summary = write_records(
            importer, place / name, ImportSettings(memory_limit_bytes=8 * 10**9), lambda step: None
        )
        files = sorted((place / name / "data").glob("*.parquet"))
        found.append([row for file in files for row in pq.read_table(file).to_pylist()])
        unnamed = sum(not row["c"] for row in rows)
        assert summary.left_out.get("x_without_code", 0) == unnamed
    assert found[0] == found[1]
    columns = ("subject_id", "time", "code", "numeric_value", "visit_id")
    events = {tuple(row[column] for column in columns) for row in found[0]}
    assert events == {_expected(row) for row in rows if row["c"]}
    assert len(events) == len(found[0])


pieces = st.one_of(
    st.text(string.ascii_letters + " .-", min_size=1, max_size=5).filter(str.strip),
    st.builds(
        CodeField,
        st.text(string.ascii_letters + "_. ", min_size=1, max_size=8).map(str.strip).filter(bool),
        st.sampled_from([None, "upper", "lower", "icd10cm", "icd9cm", "icd9proc"]),
        st.none(),
        st.booleans(),
    ),
)


def _write(piece: str | CodeField) -> str:
    if isinstance(piece, str):
        return piece
    form = f":{piece.form}" if piece.form else ""
    return f"{{{piece.column}{form}{'?' if piece.optional else ''}}}"


@given(st.lists(st.lists(pieces, min_size=1, max_size=3), min_size=1, max_size=4))
def test_a_template_reads_back_as_it_was_written(parts: list[list[str | CodeField]]) -> None:
    text = "//".join("".join(map(_write, part)) for part in parts)
    template = CodeTemplate.parse(text)
    assert "//".join("".join(map(_write, part)) for part in template.parts) == text
    assert list(template.columns) == [
        piece.column for part in parts for piece in part if isinstance(piece, CodeField)
    ]
    assert text.startswith(template.prefix)


@settings(max_examples=30, deadline=None, database=None)
@given(st.sets(st.text(min_size=1).filter(lambda text: text.isprintable()), max_size=40))
def test_numbers_of_texts_are_the_same_in_sql_and_all_different(texts: set[str]) -> None:
    import duckdb
    import pyarrow as pa

    key = IdentityHash(b"k" * 32)
    with duckdb.connect() as connection:
        register_numbers(connection, key)
        connection.register("given_texts", pa.table({"text": pa.array(sorted(texts), pa.string())}))
        rows = connection.execute(
            "SELECT text, subject_number(text), visit_number(text) FROM given_texts"
        ).fetchall()
        assert connection.execute("SELECT subject_number(NULL)").fetchall() == [(None,)]
    assert rows == [(t, key.number(t, "subject"), key.number(t, "visit")) for t, _, _ in rows]
    numbers = [number for row in rows for number in row[1:]]
    assert len(set(numbers)) == 2 * len(texts)
    assert all(0 < number < 2**63 for number in numbers)


@settings(max_examples=20, deadline=None, database=None)
@given(st.lists(st.text("ab /\t\u00a0\u200b\n", max_size=8), min_size=1, max_size=20))
def test_cleaned_parts_join_and_split_without_loss(cells: list[str]) -> None:
    import duckdb
    import pyarrow as pa

    from fedehr_client.importers.csv.code_sql import MACROS

    with duckdb.connect() as connection:
        connection.execute(MACROS)
        connection.register("cells", pa.table({"cell": pa.array(cells, pa.string())}))
        parts = [
            row[0] for row in connection.execute("SELECT code_part(cell) FROM cells").fetchall()
        ]
    filled = [part for part in parts if part is not None]
    assert "//".join(filled).split("//") == (filled or [""])
    for part in filled:
        assert part == part.strip()
        assert part.isprintable()
        assert "  " not in part
    # Only what held nothing but blanks and strokes is gone.
    assert [c for c in cells if c.strip(" /\t\u00a0\u200b\n")] == [
        c for c, part in zip(cells, parts, strict=True) if part is not None and part.strip("/")
    ]
