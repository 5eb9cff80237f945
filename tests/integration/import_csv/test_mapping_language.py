"""What each word of the mapping language does, seen in the events of finished imports."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

Import = Callable[..., Any]
T0 = "2020-03-01 10:00:00"


def _codes(imported: Any) -> list[str]:
    return [event[2] for event in imported.events()]


def test_a_row_becomes_an_event(import_tables: Import) -> None:
    imported = import_tables(
        """
        [[events]]
        table = "labs"
        time = "taken"
        code = "LAB//{item}"
        value = "result"
        unit = "{unit?}"
        visit = "stay"
        """,
        {
            "labs": [
                {"pid": 7, "taken": T0, "item": "K", "result": "4.5", "unit": "mmol/L", "stay": 3},
                {"pid": 7, "taken": T0, "item": "Na", "result": "140", "unit": "", "stay": ""},
            ]
        },
    )
    when = datetime(2020, 3, 1, 10)
    assert imported.events() == [
        (7, when, "LAB//K//mmol/L", 4.5, 3),
        (7, when, "LAB//Na", 140.0, None),
    ]
    assert imported.codes()["LAB//K//mmol/L"]["parent_codes"] == ["LAB//K"]
    assert "LAB//K" in imported.codes()


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("  a   b ", "X//a b"),
        ("a//b", "X//a/b"),
        ("/a///b/", "X///a/b"),
        ("a\tb\u00a0c\u200bd", "X//a b c d"),
        ("a\nb", "X//a b"),
        ("", None),
        (" // ", None),
        ("x" * 200, f"X//{'x' * 200}"),
        ("x" * 201, None),
    ],
)
def test_parts_of_codes_are_cleaned(import_tables: Import, cell: str, code: str | None) -> None:
    rows = [{"pid": 1, "t": T0, "c": cell}, {"pid": 1, "t": T0, "c": "sound"}]
    imported = import_tables('[[events]]\ntable = "x"\ntime = "t"\ncode = "X//{c}"', {"x": rows})
    assert sorted(_codes(imported)) == sorted({"X//sound", *([code] if code else [])})
    dropped = imported.summary.left_out.get("x_without_code", 0)
    assert dropped == (0 if code else 1)


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("A//{full}", "A//f"),
        ("A//{none?}//{full}", "A//f"),
        ("A//{none|unknown}", "A//unknown"),
        ("A{full}//z", "Af//z"),
        ("A//{full:upper}", "A//F"),
        ("A//{ten:icd10cm}", "A//I50.9"),
        ("A//{ten:icd10cm}//{nine:icd9cm}", "A//I50.9//428.0"),
        ("A//{external:icd9cm}", "A//E888.9"),
        ("A//{short:icd10cm}", "A//I10"),
        ("A//{procedure:icd9proc}", "A//39.61"),
    ],
)
def test_templates(import_tables: Import, template: str, code: str) -> None:
    row = {
        "pid": 1, "full": "f", "none": "", "ten": "i509", "nine": "4280", "external": "E8889",
        "short": "I10", "procedure": "3961",
    }  # fmt: skip
    imported = import_tables(
        f'[[events]]\ntable = "x"\nstatic = true\ncode = "{template}"', {"x": [row]}
    )
    assert imported.events() == [(1, None, code, None, None)]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ('"t"', datetime(2020, 3, 1, 10)),
        ('{ latest_of = ["t", "later"] }', datetime(2020, 3, 2, 8)),
        ('{ latest_of = ["t", "none"] }', datetime(2020, 3, 1, 10)),
        ('{ first_of = ["none", "later"] }', datetime(2020, 3, 2, 8)),
        ('{ column = "day", day = "end" }', datetime(2020, 3, 5, 23, 59, 59)),
        ('{ column = "day", day = "start" }', datetime(2020, 3, 5)),
        ('{ column = "t", day = "end" }', datetime(2020, 3, 1, 23, 59, 59)),
        ('{ column = "dutch", format = "%d-%m-%Y %H:%M" }', datetime(2020, 4, 3, 2, 1)),
        ('{ column = "dutch_day", format = "%d/%m/%Y", day = "start" }', datetime(2020, 4, 3)),
        ('{ offset = "n", unit = "minutes", since = "t" }', datetime(2020, 3, 1, 8, 30)),
        ('{ offset = "n", unit = "days", since = "t" }', datetime(2019, 12, 2, 10)),
    ],
)
def test_times(import_tables: Import, time: str, expected: datetime) -> None:
    row = {
        "pid": 1, "t": T0, "later": "2020-03-02 08:00:00", "none": "", "day": "2020-03-05",
        "dutch": "03-04-2020 02:01", "dutch_day": "03/04/2020", "n": "-90",
    }  # fmt: skip
    imported = import_tables(f'[[events]]\ntable = "x"\ntime = {time}\ncode = "X"', {"x": [row]})
    assert imported.events() == [(1, expected, "X", None, None)]


def test_a_row_without_its_time_is_no_static_event(import_tables: Import) -> None:
    rows = [{"pid": 1, "t": "", "n": "1e300"}, {"pid": 1, "t": T0, "n": "5"}]
    imported = import_tables(
        """
        [[events]]
        table = "x"
        time = "t"
        code = "X"
        [[events]]
        name = "y"
        table = "x"
        time = { offset = "n", unit = "days", since = "t" }
        code = "Y"
        """,
        {"x": rows},
    )
    assert [event[1] for event in imported.events()] == [
        datetime(2020, 3, 1, 10),
        datetime(2020, 3, 6, 10),
    ]
    assert imported.summary.left_out == {"x_without_time": 1, "y_without_time": 1}


def test_local_times_become_utc(import_tables: Import) -> None:
    rows = [{"pid": 1, "t": "2020-07-01 12:00:00", "d": "2020-07-01"}]
    mapping = """
        [[events]]
        table = "x"
        time = "t"
        code = "X"
        [[events]]
        name = "day"
        table = "x"
        time = { column = "d", day = "end" }
        code = "D"
        [[events]]
        name = "begin"
        table = "x"
        time = { column = "d", day = "start" }
        code = "B"
        """
    imported = import_tables(mapping, {"x": rows}, timezone="Europe/Amsterdam")
    assert {event[2]: event[1] for event in imported.events()} == {
        "X": datetime(2020, 7, 1, 10),
        "D": datetime(2020, 7, 1, 21, 59, 59),
        "B": datetime(2020, 6, 30, 22),
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"n"', [("X//u", 1.5)]),
        ('{ column = "r", otherwise = "empty" }', [("X//u", None)]),
        ('{ column = "r", otherwise = "code" }', [("X//positive", None)]),
        ('{ column = "n", otherwise = "code" }', [("X//u", 1.5)]),
        ('{ column = "bp", split = "/", part = 2, otherwise = "empty" }', [("X//u", 80.0)]),
        ('{ column = "bp", split = "/", part = 3, otherwise = "empty" }', [("X//u", None)]),
    ],
)
def test_values(import_tables: Import, value: str, expected: list[Any]) -> None:
    row = {"pid": 1, "t": T0, "n": "1.5", "r": "positive", "bp": "120/80", "u": "u"}
    imported = import_tables(
        f'[[events]]\ntable = "x"\ntime = "t"\ncode = "X"\nvalue = {value}\nunit = "{{u}}"',
        {"x": [row]},
    )
    assert [(event[2], event[3]) for event in imported.events()] == expected


@pytest.mark.parametrize(("code", "told"), [("X", "n"), ("X//{n}", "n_as_number")])
def test_a_text_for_a_number_is_a_bad_row_named_by_number_alone(
    code: str, told: str, import_tables: Import
) -> None:
    rows = [{"pid": 1, "t": T0, "n": str(n)} for n in range(99)]
    rows.insert(40, {"pid": 1, "t": T0, "n": "hidden"})
    mapping = f'[[events]]\ntable = "x"\ntime = "t"\ncode = "{code}"\nvalue = "n"'
    imported = import_tables(mapping, {"x": rows})
    assert len(imported.events()) == 99
    bad = imported.summary.tables["x"]["bad_rows"]
    assert bad == {f"{told} is not a number": {"num": 1, "rows": [41]}}
    assert "hidden" not in repr(imported.summary)


def test_units_are_converted_once_and_only_for_their_code(import_tables: Import) -> None:
    rows = [
        {"pid": 1, "t": T0, "i": "GLU", "n": "90", "u": "mg/dL"},
        {"pid": 1, "t": T0, "i": "CREA", "n": "1", "u": "mg/dL"},
        {"pid": 1, "t": T0, "i": "GLU", "n": "5", "u": "mmol/l"},
        {"pid": 1, "t": T0, "i": "TEMP", "n": "212", "u": "F"},
    ]
    imported = import_tables(
        """
        [[events]]
        table = "x"
        time = "t"
        code = "LAB//{i}"
        value = "n"
        unit = "{u}"
        convert = [
          { from = "mg/dL", to = "mmol/L", factor = 0.0555, code = "LAB//GLU" },
          { from = "mmol/l", to = "mmol/L" },
          { from = "F", to = "C", factor = 0.5555555555555556, offset = -17.77777777777778 },
        ]
        """,
        {"x": rows},
    )
    assert {(event[2], round(event[3], 3)) for event in imported.events()} == {
        ("LAB//GLU//mmol/L", 4.995),
        ("LAB//CREA//mg/dL", 1.0),
        ("LAB//GLU//mmol/L", 5.0),
        ("LAB//TEMP//C", 100.0),
    }


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ('{ column = "s", equals = "a" }', "a"),
        ('{ column = "s", one_of = ["a", "b"] }', "ab"),
        ('{ column = "s", none_of = ["a"] }', "b-"),
        ('{ column = "s", filled = true }', "ab"),
        ('{ column = "s", filled = false }', "-"),
        ('{ column = "s", equals = "A" }', ""),
    ],
)
def test_filters(import_tables: Import, where: str, kept: str) -> None:
    rows = [{"pid": 1, "s": s, "c": s or "-"} for s in ("a", "b", "")]
    imported = import_tables(
        f"""
        [[events]]
        table = "x"
        where = [{where}]
        static = true
        code = "X//{{c}}"
        [[events]]
        name = "all"
        table = "x"
        static = true
        code = "ALL"
        """,
        {"x": rows},
    )
    assert _codes(imported) == ["ALL", *sorted(f"X//{letter}" for letter in kept)]


def test_a_join_brings_subject_time_and_text(import_tables: Import) -> None:
    imported = import_tables(
        """
        [[events]]
        table = "vitals"
        join = [
          { table = "stays", on = { stay = "stay_id" } },
          { table = "items", on = ["kind", "item"] },
        ]
        subject = "stays.pid"
        time = { offset = "minute", unit = "minutes", since = "stays.admitted" }
        code = "VITAL//{items.label}"
        visit = "stay"
        """,
        {
            "vitals": [
                {"stay": 5, "minute": 30, "kind": "v", "item": "1"},
                {"stay": 6, "minute": 30, "kind": "v", "item": "1"},
                {"stay": "", "minute": 30, "kind": "v", "item": "1"},
            ],
            "stays": [
                {"stay_id": 5, "pid": 1, "admitted": T0},
                {"stay_id": 5, "pid": 1, "admitted": T0},
                {"stay_id": "", "pid": 9, "admitted": T0},
            ],
            "items": [
                {"kind": "v", "item": "1", "label": "pulse"},
                {"kind": "w", "item": "1", "label": "other"},
            ],
        },
    )
    assert imported.events() == [(1, datetime(2020, 3, 1, 10, 30), "VITAL//pulse", None, 5)]
    assert imported.summary.left_out == {"vitals_without_subject": 2}
