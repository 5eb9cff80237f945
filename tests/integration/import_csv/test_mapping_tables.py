"""Stays, persons, dictionaries and source-wide options of a mapping, seen in finished imports."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

Import = Callable[..., Any]
T0 = "2020-03-01 10:00:00"


def _codes(imported: Any) -> list[str]:
    return [event[2] for event in imported.events()]


def test_stays_and_persons_have_the_standard_codes(import_tables: Import) -> None:
    imported = import_tables(
        """
        [birth]
        table = "people"
        age = "age"
        year = "year"
        [sex]
        table = "people"
        column = "sex"
        values = { "2" = "F", "1" = "M" }
        [[death]]
        table = "stays"
        time = "died"
        [[death]]
        table = "people"
        time = { column = "death_day", day = "end" }
        [[stays]]
        kind = "hospital"
        table = "stays"
        start = "start"
        end = "end"
        type = "type"
        visit = "stay"
        [[stays]]
        kind = "icu"
        table = "stays"
        start = "start"
        end = "end"
        type = "unit"
        end_type = "unit"
        visit = "stay"
        [[stays]]
        kind = "outpatient"
        table = "visits"
        start = { column = "day", day = "start" }
        [[events]]
        table = "visits"
        static = true
        code = "CLINIC//{clinic}"
        """,
        {
            "people": [
                {"pid": 1, "age": "> 89", "year": 2020, "sex": "2", "death_day": "2020-03-09"},
                {"pid": 2, "age": "30", "year": 2020, "sex": "", "death_day": "2020-03-08"},
            ],
            "stays": [
                {"pid": 1, "stay": 4, "start": T0, "end": "2020-03-08 09:00:00", "type": "urgent",
                 "unit": "MICU", "died": "2020-03-08 09:00:00"},
                {"pid": 2, "stay": 5, "start": T0, "end": "", "type": "", "unit": "", "died": ""},
            ],
            "visits": [{"pid": 1, "day": "2019-01-01", "clinic": "eye"}],
        },
    )  # fmt: skip
    start, end = datetime(2020, 3, 1, 10), datetime(2020, 3, 8, 9)
    assert [event[:3] + event[4:] for event in imported.events()] == [
        (1, None, "CLINIC//eye", None),
        (1, None, "SEX//F", None),
        (1, datetime(1931, 1, 1), "MEDS_BIRTH", None),
        (1, datetime(2019, 1, 1), "OUTPATIENT_VISIT//unknown", None),
        (1, start, "HOSPITAL_ADMISSION//urgent", 4),
        (1, start, "ICU_ADMISSION//MICU", 4),
        (1, end, "HOSPITAL_DISCHARGE//unknown", 4),
        (1, end, "ICU_DISCHARGE//MICU", 4),
        (1, end, "MEDS_DEATH", None),
        (2, None, "SEX//U", None),
        (2, datetime(1990, 1, 1), "MEDS_BIRTH", None),
        (2, start, "HOSPITAL_ADMISSION//unknown", 5),
        (2, start, "ICU_ADMISSION//unknown", 5),
        (2, datetime(2020, 3, 8, 23, 59, 59), "MEDS_DEATH", None),
    ]


@pytest.mark.parametrize(
    ("birth", "row", "born"),
    [
        ('age = "a"\nat = "t"', {"a": "20"}, datetime(2000, 3, 1, 10)),
        ('age = "a"\nat = "t"', {"a": "90+"}, datetime(1930, 3, 1, 10)),
        ('age = "a"\nyear = "y"', {"a": "0.0", "y": "2020"}, datetime(2020, 1, 1)),
        ('age = "a"\nyear = "y"', {"a": "999", "y": "2020"}, None),
        ('age = "a"\nyear = "y"', {"a": "old", "y": "2020"}, None),
        ('date = { column = "d", day = "start" }', {"d": "1999-12-31"}, datetime(1999, 12, 31)),
    ],
)
def test_births(
    birth: str, row: dict[str, str], born: datetime | None, import_tables: Import
) -> None:
    rows = [{"pid": 1, "t": T0, "a": "", "y": "", "d": "", **row}]
    imported = import_tables(
        f'[birth]\ntable = "x"\n{birth}\n[[events]]\ntable = "x"\ntime = "t"\ncode = "X"',
        {"x": rows},
    )
    times = [event[1] for event in imported.events() if event[2] == "MEDS_BIRTH"]
    assert times == ([born] if born else [])


def test_dictionaries_describe_codes_and_their_units(import_tables: Import) -> None:
    imported = import_tables(
        """
        [[events]]
        table = "labs"
        time = "t"
        code = "LAB//{item}"
        value = "n"
        unit = "{u}"
        delay_hours = 1.5
        [[dictionaries]]
        table = "items"
        code = "LAB//{id}"
        description = ["label", "fluid"]
        parents = ["LOINC//{loinc}"]
        """,
        {
            "labs": [{"pid": 1, "t": T0, "item": "K", "n": "4", "u": "mmol/L"}],
            "items": [
                {"id": "K", "label": "Potassium", "fluid": "", "loinc": "2823-3"},
                {"id": "Na", "label": "Sodium", "fluid": "Blood", "loinc": ""},
            ],
        },
    )
    codes = imported.codes()
    assert set(codes) == {"LAB//K//mmol/L", "LAB//K", "LOINC//2823-3"}
    assert codes["LAB//K"]["description"] == "Potassium"
    assert codes["LAB//K"]["parent_codes"] == ["LOINC//2823-3"]
    assert codes["LAB//K//mmol/L"]["description"] == "Potassium (mmol/L)"
    assert codes["LAB//K//mmol/L"]["parent_codes"] == ["LAB//K"]
    assert codes["LAB//K//mmol/L"]["delay_hours"] == 1.5


def test_source_wide_options(import_tables: Import) -> None:
    imported = import_tables(
        """
        [source]
        name = "elsewhere"
        delimiter = ";"
        encoding = "latin-1"
        decimal_mark = ","
        time_formats = ["%d-%m-%Y", "%d-%m-%Y %H:%M"]
        null_markers = ["NULL"]
        [subject]
        column = "pid"
        [[events]]
        table = "x"
        time = "t"
        code = "X//{c?}"
        value = "n"
        [[events]]
        name = "lenient"
        table = "x"
        time = "t"
        code = "Y"
        value = { column = "n", otherwise = "code" }
        """,
        {
            "x": [
                {"pid": 1, "t": "05-03-2020 07:30", "c": "caf\u00e9", "n": "1,5"},
                {"pid": 1, "t": "06-03-2020", "c": "NULL", "n": "NULL"},
            ]
        },
        {"delimiter": ";", "encoding": "latin-1"},
    )
    first, last = datetime(2020, 3, 5, 7, 30), datetime(2020, 3, 6, 23, 59, 59)
    assert imported.events() == [
        (1, first, "X//caf\u00e9", 1.5, None),
        (1, first, "Y", 1.5, None),
        (1, last, "X", None, None),
        (1, last, "Y", None, None),
    ]


def test_columns_are_told_apart_whatever_they_are_called(import_tables: Import) -> None:
    imported = import_tables(
        """
        [[events]]
        table = "x"
        static = true
        code = "X//{a b}//{a_b}//{a-b}//{A.B (c)}"
        """,
        {"x": [{"pid": 1, "a_b": "2", "a b": "1", "a-b": "3", "a.b (C)": "4"}]},
    )
    assert _codes(imported) == ["X//1//2//3//4"]


def test_an_optional_table_or_column_may_be_missing(import_tables: Import) -> None:
    mapping = """
        [tables]
        y = { required = false }
        x = { optional_columns = ["extra"] }
        [[events]]
        table = "x"
        static = true
        code = "X//{extra?}"
        [[events]]
        table = "y"
        join = [{ table = "x", on = "pid" }]
        static = true
        code = "Y"
        """
    imported = import_tables(mapping, {"x": [{"pid": 1, "other": "o"}]})
    assert _codes(imported) == ["X"]
    assert imported.summary.left_out == {"mapping_sections_without_table_y": 1}
