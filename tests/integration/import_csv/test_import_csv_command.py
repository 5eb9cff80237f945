"""`fedehr-client import csv` as a hospital runs it."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.importers.csv.mapping import Mapping

PROGRAM = Path(sys.executable).parent / "fedehr-client"
EVENTS = """
[[events]]
table = "labs"
time = "taken"
code = "LAB//{item}"
value = "result"
"""
Place = tuple[Path, Path]


def _run(*arguments: object, temp: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "import", "csv", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "200"} | ({"TMPDIR": str(temp)} if temp else {}),
    )


@pytest.fixture
def place(tmp_path: Path, head: str, save_tables: Callable[..., Path]) -> Place:
    """Tables of 300 rows with three bad ones among them, and their mapping."""
    rows: list[dict[str, Any]] = [
        {"pid": n % 40, "taken": f"2020-03-{n % 28 + 1:02}", "item": f"I{n % 3}", "result": n}
        for n in range(300)
    ]
    rows[10]["result"] = "Zebra"
    rows[20]["pid"] = "Zebra"
    rows[30]["taken"] = "Zebra"
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(head + EVENTS, encoding="utf-8")
    return save_tables(tmp_path / "tables", {"labs": rows}), mapping


def test_an_import_counts_its_bad_rows(place: Place, tmp_path: Path) -> None:
    source, mapping = place
    out = tmp_path / "site"
    options = ("--mapping", mapping, "--out", out, "--json")
    refused = _run(source, *options, "--max-bad-share", "0.005")
    assert refused.returncode == 4
    assert "3 of 300 rows are bad" in refused.stderr
    assert not out.exists()
    done = _run(source, *options)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["num_events"] == 297
    assert told["tables"]["labs"]["bad_rows"] == {
        "pid is not a whole number": {"num": 1, "rows": [21]},
        "result is not a number": {"num": 1, "rows": [11]},
        "taken is not a time": {"num": 1, "rows": [31]},
    }
    assert "Zebra" not in refused.stderr + done.stdout + done.stderr
    assert json.loads((out / "metadata" / "import.json").read_text())["source"] == "csv"
    again = _run(source, *options)
    assert again.returncode == 4
    assert "exists already" in again.stderr


def test_a_preview_shows_rows_and_writes_nothing(place: Place, tmp_path: Path) -> None:
    source, mapping = place
    temp = tmp_path / "temp"
    temp.mkdir()
    before = sorted(tmp_path.rglob("*"))
    shown = _run(source, "--mapping", mapping, "--preview", temp=temp)
    assert shown.returncode == 0, shown.stderr
    assert "nothing is written" in shown.stderr
    for fragment in ("LAB//I0", "2020-03-01 23:59:59", "297 events, 3 codes", "not a whole number"):
        assert fragment in shown.stdout
    told = json.loads(_run(source, "--mapping", mapping, "--preview", "--json", temp=temp).stdout)
    [section] = told["sections"]
    assert section["num_events"] == 297
    assert section["codes"] == {"LAB//I0": 99, "LAB//I1": 99, "LAB//I2": 99}
    assert len(section["rows"]) == 10
    assert set(section["rows"][0]) == {"time", "code", "value"}
    assert sum(bad["num"] for bad in told["tables"]["labs"]["bad_rows"].values()) == 3
    assert "Zebra" not in shown.stdout + shown.stderr + json.dumps(told)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_template_is_a_mapping_and_explains_every_key() -> None:
    printed = _run("--template")
    assert printed.returncode == 0
    assert printed.stderr == ""
    mapping = Mapping.model_validate(tomllib.loads(printed.stdout))
    assert mapping.subject.column in printed.stdout
    pages = (Path(__file__).parents[3] / "docs" / "csv.md").read_text(encoding="utf-8")
    for name in _keys(Mapping.model_json_schema()):
        known = f"`{name}`" in pages or f"[{name}]" in pages
        assert known, f"docs/csv.md does not explain {name}"


def _keys(schema: Any) -> set[str]:
    found: set[str] = set()
    if isinstance(schema, dict):
        found |= set(schema.get("properties", {}))
        for inner in schema.values():
            found |= _keys(inner)
    elif isinstance(schema, list):
        for inner in schema:
            found |= _keys(inner)
    return found


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--mapping", "{mapping}"), 2, "--out"),
        (("--out", "{out}"), 2, "--mapping"),
        (("--mapping", "{out}/none.toml", "--out", "{out}"), 3, "none.toml"),
        (("--mapping", "{mapping}", "--out", "{out}", "--memory-limit", "much"), 2, "much"),
        (("--mapping", "{mapping}", "--out", "{out}", "--timezone", "Mars"), 2, "Mars"),
    ],
)
def test_wrong_commands_end_with_their_code(
    options: tuple[str, ...], code: int, said: str, place: Place, tmp_path: Path
) -> None:
    source, mapping = place
    out = tmp_path / "out"
    ended = _run(source, *(option.format(mapping=mapping, out=out) for option in options))
    assert ended.returncode == code, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not out.exists()


def test_the_zone_of_the_mapping_counts_unless_the_command_names_one(
    place: Place, tmp_path: Path
) -> None:
    source, mapping = place
    text = mapping.read_text(encoding="utf-8")
    mapping.write_text(
        text.replace("[source]", '[source]\ntimezone = "Asia/Tokyo"'), encoding="utf-8"
    )
    zones = []
    for number, extra in enumerate(((), ("--timezone", "Europe/Rome"))):
        out = tmp_path / f"site-{number}"
        done = _run(source, "--mapping", mapping, "--out", out, *extra)
        assert done.returncode == 0, done.stderr
        zones.append(json.loads((out / "metadata" / "import.json").read_text())["timezone"])
    assert zones == ["Asia/Tokyo", "Europe/Rome"]
