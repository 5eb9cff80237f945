"""Nothing in a mapping or a table is ever read as SQL."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fedehr_client.importers.csv.quoting import quote_name, quote_text

Import = Callable[..., Any]
HOSTILE = [
    "'; DROP TABLE x; --",
    '"; DROP TABLE x; --',
    "') OR true --",
    "' UNION SELECT 1, now(), content, 1, 1 FROM read_text('/etc/passwd') --",
    "\") FROM read_text('/etc/passwd'); COPY (SELECT 1) TO 'owned.csv'; --",
    "$$; ATTACH 'owned.db'; $$",
    "\\'; SELECT getenv('HOME'); --",
    "/* */ x",
    "a''b\"\"c",
    "%s %(name)s {0} ?",
    "$1",
    "\u2019; DROP TABLE x; --",
]


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A file that an injected statement wrote would lie here.
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.mark.parametrize("text", HOSTILE)
def test_quoted_text_is_that_text(text: str) -> None:
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT {quote_text(text)}").fetchall() == [(text,)]
        row = connection.execute(
            f"SELECT t.{quote_name(text)} FROM (SELECT 3 AS {quote_name(text)}) t"
        )
        assert row.fetchall() == [(3,)]


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_stay_words(text: str, import_tables: Import, tmp_path: Path) -> None:
    mapping = f"""
        [sex]
        table = "x"
        column = "c"
        values = {{ {_toml(text)} = "F" }}
        [[events]]
        table = "x"
        where = [{{ column = "c", equals = {_toml(text)} }}, {{ column = "c", none_of = ["'"] }}]
        time = "t"
        code = "X//{{c}}"
        value = {{ column = "c", split = "'", part = 1, otherwise = "empty" }}
        unit = "{{u}}"
        convert = [{{ from = {_toml(text)}, to = {_toml(text + "!")} }}]
        """
    row = {"pid": 1, "t": "2020-03-01 10:00:00", "c": text, "u": text}
    imported = import_tables(mapping, {"x": [row, row | {"pid": 2, "c": "other"}]})
    codes = {event[2] for event in imported.events() if event[0] == 1}
    assert "SEX//F" in codes
    [code] = codes - {"SEX//F"}
    cleaned = " ".join(text.split()).strip(" /")
    assert code == f"X//{cleaned}//{cleaned}!" or "/" in text
    assert {event[2] for event in imported.events() if event[0] == 2} == {"SEX//U"}
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize("text", [text for text in HOSTILE if not set(text) & set("{}?|:")])
def test_hostile_names_of_columns_are_names(
    text: str, import_tables: Import, tmp_path: Path
) -> None:
    mapping = f"""
        [source]
        name = "n"
        delimiter = ","
        [subject]
        column = "pid"
        [[events]]
        table = "x"
        join = [{{ table = "y", on = {{ {_toml(text)} = {_toml(text)} }} }}]
        subject = {_toml(text)}
        where = [{{ column = {_toml(text)}, filled = true }}]
        static = true
        code = {_toml("X//{" + text + "}//{y.label}")}
        value = {_toml(text)}
        """
    imported = import_tables(mapping, {"x": [{text: 5}], "y": [{text: 5, "label": "five"}]})
    assert imported.events() == [(5, None, "X//5//five", 5.0, None)]
    assert list((tmp_path / "here").iterdir()) == []
