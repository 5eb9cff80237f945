"""The importer against pandas' reading of the same files, table by table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

Read = Callable[[str], pd.DataFrame]
KEY = ["subject_id", "time", "code", "visit_id"]


def _expected(
    rows: pd.DataFrame, time: pd.Series, code: pd.Series, value: pd.Series | None = None
) -> pd.DataFrame:
    """Rows of the source as events without exact duplicates."""
    made = pd.DataFrame(
        {
            "subject_id": rows["subject_id"].astype("int64"),
            "time": pd.to_datetime(time).astype("datetime64[us]"),
            "code": code.astype(str),
            "value": pd.to_numeric(value).astype("float32") if value is not None else float("nan"),
            "visit_id": pd.to_numeric(rows["hadm_id"]) if "hadm_id" in rows else float("nan"),
        }
    )
    return _in_order(made.drop_duplicates())


def _in_order(events: pd.DataFrame) -> pd.DataFrame:
    shaped = events.astype({"value": "float32", "visit_id": "float64", "code": "object"})
    return shaped.sort_values([*KEY, "value"]).reset_index(drop=True)[[*KEY, "value"]]


def _imported(events: pd.DataFrame, *prefixes: str) -> pd.DataFrame:
    found = events[events["code"].str.startswith(prefixes)]
    return _in_order(found.rename(columns={"numeric_value": "value"}))


def _later(rows: pd.DataFrame, *columns: str) -> pd.Series:
    return pd.concat([pd.to_datetime(rows[column]) for column in columns], axis=1).max(axis=1)


def test_laboratory_results(events: pd.DataFrame, table: Read) -> None:
    rows = table("hosp/labevents")
    unit = rows["valueuom"].str.strip().replace({"N/A": "", "None": "", "___": ""})
    code = "LAB//" + rows["itemid"] + unit.map(lambda text: f"//{text}" if text else "")
    wanted = _expected(rows, _later(rows, "charttime", "storetime"), code, rows["valuenum"])
    pd.testing.assert_frame_equal(_imported(events, "LAB//"), wanted)
    assert len(wanted) > 100_000


BEDSIDE = {
    "INFUSION_START": ("inputevents", "rate", "rateuom", "starttime"),
    "INFUSION_END": ("inputevents", "amount", "amountuom", "endtime"),
    "INGREDIENT_END": ("ingredientevents", "amount", "amountuom", "endtime"),
    "OUTPUT": ("outputevents", "value", "valueuom", "charttime"),
    "PROCEDURE_END": ("procedureevents", "value", "valueuom", "endtime"),
}


@pytest.mark.parametrize("kind", BEDSIDE)
def test_intensive_care(kind: str, events: pd.DataFrame, table: Read) -> None:
    name, value, unit, time = BEDSIDE[kind]
    rows = table(f"icu/{name}")
    units = rows[unit].str.strip().replace({"None": ""})
    code = f"{kind}//" + rows["itemid"] + units.map(lambda text: f"//{text}" if text else "")
    wanted = _expected(rows, rows[time], code, rows[value])
    pd.testing.assert_frame_equal(_imported(events, f"{kind}//"), wanted)


def test_admissions_and_discharges(events: pd.DataFrame, table: Read) -> None:
    rows = table("hosp/admissions")
    for kind, time, part in (
        ("HOSPITAL_ADMISSION//", "admittime", "admission_type"),
        ("HOSPITAL_DISCHARGE//", "dischtime", "discharge_location"),
    ):
        code = kind + rows[part].replace({"": "unknown"})
        wanted = _expected(rows, rows[time], code)
        assert len(wanted) == 275
        pd.testing.assert_frame_equal(_imported(events, kind), wanted)
    emergency = rows[rows["edregtime"] != ""]
    code = pd.Series("EMERGENCY_VISIT//unknown", index=emergency.index)
    wanted = _expected(emergency, emergency["edregtime"], code)
    pd.testing.assert_frame_equal(_imported(events, "EMERGENCY_VISIT//"), wanted)


def test_unit_stays(events: pd.DataFrame, table: Read) -> None:
    rows = table("icu/icustays")
    for kind, time, part in (
        ("ICU_ADMISSION//", "intime", "first_careunit"),
        ("ICU_DISCHARGE//", "outtime", "last_careunit"),
    ):
        wanted = _expected(rows, rows[time], kind + rows[part])
        pd.testing.assert_frame_equal(_imported(events, kind), wanted)


def test_births_sexes_and_deaths(events: pd.DataFrame, table: Read) -> None:
    people = table("hosp/patients").set_index("subject_id")
    born = events[events["code"] == "MEDS_BIRTH"].set_index("subject_id")["time"]
    assert len(born) == len(people) == 100
    for subject, row in people.iterrows():
        year = int(row["anchor_year"]) - int(row["anchor_age"])
        assert born[int(subject)] == pd.Timestamp(year, 1, 1)
    sexes = events[events["code"].str.startswith("SEX//")].set_index("subject_id")["code"]
    assert {int(s): f"SEX//{sex}" for s, sex in people["gender"].items()} == sexes.to_dict()

    # Where both are known the hour of death wins; one event a subject.
    wanted = {int(s): pd.Timestamp(f"{day} 23:59:59") for s, day in people["dod"].items() if day}
    stays = table("hosp/admissions")
    hours = stays[stays["deathtime"] != ""]
    wanted |= dict(
        zip(hours["subject_id"].astype(int), pd.to_datetime(hours["deathtime"]), strict=True)
    )
    died = events[events["code"] == "MEDS_DEATH"]
    assert dict(zip(died["subject_id"], died["time"], strict=True)) == wanted
    assert len(died) == len(wanted)
    assert any(time.time() != pd.Timestamp("23:59:59").time() for time in wanted.values())


@pytest.mark.parametrize(
    ("name", "version", "prefix"),
    [
        ("diagnoses_icd", "9", "ICD9CM//"),
        ("diagnoses_icd", "10", "ICD10CM//"),
        ("procedures_icd", "9", "ICD9Proc//"),
        ("procedures_icd", "10", "ICD10PCS//"),
    ],
)
def test_billing_codes(
    name: str, version: str, prefix: str, events: pd.DataFrame, table: Read
) -> None:
    rows = table(f"hosp/{name}")
    rows = rows[rows["icd_version"] == version].copy()
    rows["icd_code"] = rows["icd_code"].str.strip()
    stays = table("hosp/admissions")[["hadm_id", "dischtime"]]
    rows = rows.merge(stays, on="hadm_id", how="left", validate="many_to_one")
    found = _imported(events, prefix)
    # The dot is checked below: here both sides go without.
    found["code"] = found["code"].str.removeprefix(prefix).str.replace(".", "")
    wanted = _expected(rows, rows["dischtime"], rows["icd_code"])
    pd.testing.assert_frame_equal(_in_order(found), wanted)
    assert len(wanted) > 100


def test_codes_are_spelled_and_described(codes: pd.DataFrame) -> None:
    assert codes.loc["ICD10CM//I50.9", "description"].startswith("Heart failure")
    assert codes.loc["ICD9CM//428.0", "description"].startswith("Congestive heart failure")
    assert "extracorporeal" in codes.loc["ICD9Proc//39.61", "description"].lower()
    assert codes.loc["LAB//50912//mg/dL", "description"] == "Creatinine, Blood, Chemistry (mg/dL)"
    assert list(codes.loc["LAB//50912//mg/dL", "parent_codes"]) == ["LAB//50912"]
    assert codes.loc["LAB//50912", "description"] == "Creatinine, Blood, Chemistry"
    numbered = [code for code in codes.index if code.startswith(("LAB//", "ICD", "INFUSION"))]
    described = codes.loc[numbered, "description"].notna()
    assert described.mean() > 0.95


@pytest.mark.parametrize(
    ("name", "code", "time"),
    [
        ("prescriptions", "MEDICATION//{drug}", "starttime"),
        ("emar", "MEDICATION_GIVEN//{medication}//{event_txt}", "charttime"),
        ("services", "SERVICE//{curr_service}", "transfertime"),
    ],
)
def test_numbers_of_events_by_subject(
    name: str, code: str, time: str, events: pd.DataFrame, table: Read
) -> None:
    rows = table(f"hosp/{name}")
    # The same cleaning of names as the importer's, in pandas' words.
    filled = [part.split("}")[0] for part in code.split("{")[1:]]
    for column in filled:
        rows = rows[rows[column].str.strip() != ""]
        rows[column] = rows[column].str.split().str.join(" ").str.replace(r"/{2,}", "/", regex=True)
        rows[column] = rows[column].str.rstrip(" /")
    rows[filled[0]] = rows[filled[0]].str.upper()
    distinct = rows.drop_duplicates(["subject_id", "hadm_id", time, *filled])
    prefix = code.split("{", maxsplit=1)[0]
    found = events[events["code"].str.startswith(prefix)]
    wanted = distinct["subject_id"].astype(int).value_counts().sort_index()
    assert found["subject_id"].value_counts().sort_index().to_dict() == wanted.to_dict()


def test_blood_pressures_of_the_clinic_are_two_numbers(events: pd.DataFrame, table: Read) -> None:
    rows = table("hosp/omr")
    rows = rows[rows["result_name"] == "Blood Pressure"]
    both = rows["result_value"].str.split("/", expand=True)
    for part, name in enumerate(("systolic", "diastolic")):
        code = pd.Series(f"OMR//Blood Pressure//{name}", index=rows.index)
        wanted = _expected(rows, rows["chartdate"] + " 23:59:59", code, both[part])
        pd.testing.assert_frame_equal(_imported(events, code.iloc[0]), wanted)


def test_every_row_is_an_event_or_counted(imported: tuple[Path, Any], table: Read) -> None:
    _, summary = imported
    for name, read in summary.tables.items():
        place = next(f for f in ("hosp", "icu") if (_real(f, name)).is_file())
        assert read["num_rows"] == len(table(f"{place}/{name}"))
        assert read["bad_rows"] == {}
    drugs = table("hosp/emar")
    unnamed = (drugs["medication"].str.strip() == "") & (drugs["event_txt"] != "")
    assert summary.left_out["emar_without_code"] == unnamed.sum()
    assert summary.left_out["mapping_sections_without_table_chartevents"] == 1


def _real(place: str, name: str) -> Path:
    return Path(__file__).parents[4] / "shared/data/mimic4_demo" / place / f"{name}.csv.gz"
