"""A wrong mapping is refused with the key, what is wrong with it, and what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.importers.csv.mapping import MOST_BYTES, Mapping
from fedehr_shared.errors import ConfigError, DataError

Import = Callable[..., Any]
EVENT = '[[events]]\ntable = "x"\nstatic = true\ncode = "X"\n'

WRONG = {
    "unknown key": (EVENT + 'colour = "red"', ["events.0.colour", "unknown key"]),
    "unknown section": (EVENT + "[people]", ["people", "unknown key"]),
    "no events": ('[visit]\nkind = "number"', ["events", "required"]),
    "neither time nor static": (
        '[[events]]\ntable = "x"\ncode = "X"',
        ["events.0", "either a time or static"],
    ),
    "two ways of a time": (
        '[[events]]\ntable = "x"\ncode = "X"\ntime = { column = "a", offset = "b" }',
        ["events.0.time", "exactly one of"],
    ),
    "an offset from nothing": (
        '[[events]]\ntable = "x"\ncode = "X"\ntime = { offset = "b", unit = "hours" }',
        ["events.0.time", "since"],
    ),
    "a format of no time": (
        '[[events]]\ntable = "x"\ncode = "X"\ntime = { column = "a", format = "%Q" }',
        ["events.0.time.format", "%Y"],
    ),
    "a time that is a number": (
        '[[events]]\ntable = "x"\ncode = "X"\ntime = 3',
        ["events.0.time"],
    ),
    "an open brace": (
        '[[events]]\ntable = "x"\nstatic = true\ncode = "X//{a"',
        ["events.0.code", "brace"],
    ),
    "an empty part": (
        '[[events]]\ntable = "x"\nstatic = true\ncode = "X////Y"',
        ["events.0.code", "empty"],
    ),
    "an unknown form": (
        '[[events]]\ntable = "x"\nstatic = true\ncode = "X//{a:icd11}"',
        ["events.0.code", "icd11", "icd10cm"],
    ),
    "a blank for an empty cell": (
        '[[events]]\ntable = "x"\nstatic = true\ncode = "X//{a| }"',
        ["events.0.code", "blank"],
    ),
    "no word first": (
        '[[events]]\ntable = "x"\nstatic = true\ncode = "{a}//X"',
        ["events.0.code", "word"],
    ),
    "a reserved code": (
        '[[events]]\ntable = "x"\nstatic = true\ncode = "MEDS_DEATH//x"',
        ["events.0.code", "section of its own"],
    ),
    "a unit without value": (EVENT + 'unit = "kg"', ["events.0", "unit needs a value"]),
    "a conversion without unit": (
        EVENT + 'value = "n"\nconvert = [{ from = "a", to = "b" }]',
        ["events.0", "convert needs the unit"],
    ),
    "an infinite factor": (
        EVENT + 'value = "n"\nunit = "u"\nconvert = [{ from = "a", to = "b", factor = inf }]',
        ["events.0.convert.0.factor"],
    ),
    "two conditions": (
        EVENT + 'where = [{ column = "a", equals = "b", filled = true }]',
        ["events.0.where.0", "exactly one"],
    ),
    "one name twice": (EVENT + EVENT, ["two [[events]] are called x"]),
    "two delays of one beginning": (
        EVENT
        + '[[events]]\nname = "y"\ntable = "x"\ntime = "t"\ncode = "X//{a}"\ndelay_hours = 72',
        ["delay_hours", "begin differently"],
    ),
    "a delay of standard codes": (
        '[[events]]\ntable = "x"\ntime = "t"\ncode = "HOSPITAL{a}"\ndelay_hours = 1',
        ["standard code"],
    ),
    "a table used by nothing": (EVENT + "[tables.y]", ["[tables.y]", "used by nothing"]),
    "a path out of the source": (
        EVENT + '[tables.x]\nfile = "../secret"',
        ["tables.x.file", "within the source folder"],
    ),
    "an absolute path": (EVENT + '[tables.x]\nfile = "/etc/passwd"', ["tables.x.file"]),
    "a table's name": (
        '[[events]]\ntable = "x; DROP"\nstatic = true\ncode = "X"',
        ["events.0.table"],
    ),
    "a stay without end": (
        EVENT + '[[stays]]\nkind = "icu"\ntable = "x"\nstart = "a"',
        ["stays.0", "have an end"],
    ),
    "an age without its time": (
        EVENT + '[birth]\ntable = "x"\nage = "a"',
        ["birth", "at or year"],
    ),
    "a join to itself": (
        EVENT + 'join = [{ table = "x", on = "a" }]',
        ["events.0", "joined to itself"],
    ),
    "not TOML": ("[[events", ["not valid TOML"]),
    "a list in a list in a list": (f"a = {'[' * 5000}", ["not valid TOML"]),
    "a number of 5000 digits": (f"a = {'9' * 5000}", ["not valid TOML"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_mapping_is_refused(case: str, head: str, tmp_path: Path) -> None:
    text, fragments = WRONG[case]
    file = tmp_path / "mapping.toml"
    file.write_text(head + text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        Mapping.load(file)
    for fragment in (*fragments, str(file)):
        assert fragment in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timezone", '"Mars/Olympus"'),
        ("delimiter", '"ab"'),
        ("delimiter", '"x"'),
        ("encoding", '"ebcdic"'),
        ("decimal_mark", '"\'"'),
        ("time_formats", '["%Y\\u0000"]'),
        ("null_markers", '[""]'),
        ("last_year", "99999"),
    ],
)
def test_a_wrong_source_is_refused(key: str, value: str, tmp_path: Path) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(
        f'[source]\nname = "n"\n{key} = {value}\n[subject]\ncolumn = "p"\n{EVENT}', encoding="utf-8"
    )
    with pytest.raises(ConfigError) as refused:
        Mapping.load(file)
    assert f"source.{key}" in str(refused.value)


def test_what_is_no_mapping_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Mapping.load(tmp_path / "none.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ConfigError):
        Mapping.load(tmp_path / "folder.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError):
        Mapping.load(tmp_path / "bytes.toml")
    (tmp_path / "large.toml").write_text("#" * (MOST_BYTES + 1))
    with pytest.raises(ConfigError, match="no mapping"):
        Mapping.load(tmp_path / "large.toml")


ROW = {"pid": 1, "t": "2020-03-01 10:00:00", "k": "a"}
MISFITS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "missing table": (EVENT, {"other": [ROW]}, ["x (x)", "required = false"]),
    "missing column": (
        '[[events]]\ntable = "x"\nstatic = true\ncode = "X//{Typed Wrong}"',
        {"x": [ROW]},
        ["'x'", "Typed Wrong"],
    ),
    "table not joined": (
        EVENT + '[[events]]\ntable = "y"\ntime = "x.t"\ncode = "Y"',
        {"x": [ROW], "y": [ROW]},
        ["'y'", "x.t", "join = "],
    ),
    "key that repeats": (
        '[[events]]\ntable = "y"\njoin = [{ table = "x", on = "k" }]\ntime = "x.t"\ncode = "Y"',
        {"x": [ROW, ROW | {"t": "2020-03-02 10:00:00"}], "y": [ROW]},
        ["table 'x'", "by k", "unique"],
    ),
    "no event at all": (
        '[[events]]\ntable = "x"\ntime = "t"\ncode = "X"',
        {"x": [ROW | {"t": ""}]},
        ["no event", "x_without_time"],
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_mapping_that_does_not_fit_the_tables_is_refused(
    case: str, import_tables: Import, tmp_path: Path
) -> None:
    mapping, tables, fragments = MISFITS[case]
    with pytest.raises((ConfigError, DataError)) as refused:
        import_tables(mapping, tables)
    for fragment in fragments:
        assert fragment in str(refused.value)
    assert not list(tmp_path.glob("*/site"))
    assert not list(tmp_path.glob("*/.*"))


def test_texts_become_numbers_only_with_a_key(
    import_tables: Import, tmp_path: Path, head: str
) -> None:
    mapping = (
        head.replace('column = "pid"', 'column = "pid"\nkind = "text"\nkey_file = "KEY"')
        + '[visit]\nkind = "text"\n[[events]]\ntable = "x"\ntime = "t"\ncode = "X"\nvisit = "k"'
    )
    rows = [ROW | {"pid": "Ann/1"}, ROW | {"pid": "Ann/1", "k": "b"}, ROW | {"pid": "Bob"}]
    missing, short, key, other = (tmp_path / name for name in ("none", "short", "key", "other"))
    short.write_text("123456789012345")
    key.write_text("a secret of the hospital\n")
    other.write_text("another secret of theirs\n")
    for wrong in (missing, short):
        with pytest.raises(ConfigError, match="openssl rand -hex 32"):
            import_tables(mapping.replace("KEY", str(wrong)), {"x": rows})
    with pytest.raises(ConfigError, match="key_file is needed"):
        import_tables(mapping.replace('key_file = "KEY"', ""), {"x": rows})

    events = [import_tables(mapping.replace("KEY", str(key)), {"x": rows}).events() for _ in "ab"]
    assert events[0] == events[1]
    subjects = [event[0] for event in events[0]]
    assert len(set(subjects)) == 2
    assert all(0 < subject < 2**63 for subject in subjects)
    assert len({event[4] for event in events[0]}) == 2
    elsewhere = import_tables(mapping.replace("KEY", str(other)), {"x": rows}).events()
    assert not {event[0] for event in elsewhere} & set(subjects)
