"""Sources to import: made-up tables in eICU's shape, and the real ones where present."""

import csv
import gzip
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedehr_client.importers.eicu.importer import EicuImporter
from fedehr_client.importers.eicu.site_by import SiteBy

REAL = Path(__file__).parents[4] / "shared" / "data"
HEADERS = {
    "patient": "patientunitstayid,patienthealthsystemstayid,gender,age,hospitalid,"
    "hospitaladmitoffset,hospitaladmitsource,hospitaldischargeyear,hospitaldischargeoffset,"
    "hospitaldischargestatus,unittype,unitadmitsource,unitvisitnumber,unitdischargeoffset,"
    "unitdischargestatus,uniquepid",
    "hospital": "hospitalid,numbedscategory,teachingstatus,region",
    "diagnosis": "diagnosisid,patientunitstayid,activeupondischarge,diagnosisoffset,"
    "diagnosisstring,icd9code",
    "medication": "patientunitstayid,drugorderoffset,drugstartoffset,drugordercancelled,"
    "drugname,drughiclseqno,drugstopoffset",
    "treatment": "patientunitstayid,treatmentoffset,treatmentstring,activeupondischarge",
    "infusiondrug": "patientunitstayid,infusionoffset,drugname,drugrate",
    "admissionDx": "patientunitstayid,admitdxenteredoffset,admitdxpath",
    "pastHistory": "patientunitstayid,pasthistoryenteredoffset,pasthistorypath,pasthistoryvalue",
    "vitalAperiodic": "patientunitstayid,observationoffset,noninvasivesystolic,"
    "noninvasivediastolic,noninvasivemean",
}
PAST = "notes/Progress Notes/Past History/Organ Systems/"


def _importer(tables: Path, hourly: Path) -> EicuImporter:
    return EicuImporter(tables, hourly, SiteBy.REGION)


def _write_table(folder: Path, name: str, rows: list[list[object]]) -> None:
    with gzip.open(folder / f"{name}.csv.gz", "wt", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEADERS[name].split(","))
        writer.writerows(rows)


def _stays() -> list[list[object]]:
    """Six hand-made stays of three people, then forty drawn ones."""
    rows: list[list[object]] = [
        # stay, visit, sex, age, hospital, admitted, from, year, left, status, unit, from, nr, out
        # Two unit stays in one hospital stay, then one a year later at another site.
        [1, 10, "Female", "> 89", 1, -60, "Floor", 2014, 9000, "Alive", "MICU", "", 1, 2000],
        [2, 10, "Female", "> 89", 1, -4000, "Floor", 2014, 5060, "Alive", "SICU", "", 2, 2900],
        [3, 11, "Female", "> 89", 3, 0, "", 2015, 3000, "Expired", "MICU", "Floor", 1, 1500],
        # Two hospital stays of one year: which came first is unknown.
        [4, 12, "Male", "50", 2, 0, "", 2014, 20000, "Alive", "MICU", "Floor", 1, 5000],
        [5, 13, "Male", "50", 2, -9000, "", 2014, 20000, "Alive", "MICU", "Floor", 1, 5000],
        # Already past seven days.
        [6, 14, "", "", 2, -20000, "", 2014, 9000, "Alive", "MICU", "Floor", 1, 5000],
    ]
    people = ["p1", "p1", "p1", "p2", "p2", "p3"]
    draw = random.Random(0)
    for number in range(40):
        out = draw.randrange(600, 6000)
        status = draw.choice(["Alive", "Alive", "Expired", ""])
        sex, age = draw.choice(["Male", "Female"]), draw.randrange(20, 89)
        hospital, waited = draw.randrange(1, 5), draw.randrange(500)
        row = [100 + number, 200 + number, sex, age, hospital, -waited, "Floor", 2014]
        rows.append([*row, out + 9000 * (out % 2), status, "MICU", "Floor", 1, out])
        people.append(f"q{number}")
    return [[*row, "Alive", person] for row, person in zip(rows, people, strict=True)]


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> EicuImporter:
    folder = tmp_path_factory.mktemp("made-up")
    stays = _stays()
    ids = [row[0] for row in stays]
    regions = ["Midwest", "Midwest", "South", ""]
    beds = ["<100", ">= 500", "100 - 249", ""]
    _write_table(folder, "patient", stays)
    _write_table(folder, "hospital", [[i + 1, beds[i], "f", regions[i]] for i in range(4)])
    diagnoses: list[list[object]] = [
        [s, s, "True", 30, "renal|failure|acute", "N17.9"] for s in ids
    ]
    # Written in the second unit stay, with a time before that stay began.
    diagnoses.append([0, 2, "True", -500, "cardiovascular|shock", ""])
    _write_table(folder, "diagnosis", diagnoses)
    orders: list[list[object]] = [[s, 5, -90, "No", "ASPIRIN 81 MG PO CHEW", 7, 999] for s in ids]
    orders += [[1, 10, 700, "No", "", 7, 999], [1, 10, 10, "Yes", "CANCELLED DRUG", "", 999]]
    orders += [[3, 10, 10, "No", "aspirin", "", 999], [3, 10, 10, "No", "", "", 999]]
    _write_table(folder, "medication", orders)
    _write_table(folder, "treatment", [[s, 60, "pulmonary|ventilation", "False"] for s in ids])
    rates: list[list[object]] = [[1, 60, "Heparin (units/hr)", 12.5], [1, 70, "Heparin ()", "OFF"]]
    _write_table(folder, "infusiondrug", rates)
    _write_table(folder, "admissionDx", [[s, 9, "admission diagnosis|All|Sepsis"] for s in ids])
    past = f"{PAST}Cardiovascular (R)/Valve disease/s/p AVR"
    _write_table(folder, "pastHistory", [[s, 15, past, "s/p AVR"] for s in ids])
    _write_table(folder, "vitalAperiodic", [[s, 20, 120, 70, ""] for s in ids])
    hours = [(s, h) for s in ids for h in (0, 23, 24)]
    pq.write_table(
        pa.table(
            {
                "stay_id": pa.array([s for s, _ in hours], pa.int32()),
                "time": pa.array([3600 * h for _, h in hours], pa.duration("s")),
                "hr": [80.0 + h for _, h in hours],
                "k": [4.0 if h == 23 else None for _, h in hours],
            }
        ),
        folder / "dyn.parquet",
    )
    return _importer(folder, folder)


@pytest.fixture(scope="session")
def real() -> EicuImporter:
    source = _importer(REAL / "eicu_demo", REAL / "eicu_demo_hourly")
    if not source.source.is_dir() or not source.hourly.is_dir():
        pytest.skip("no eICU demo tables in ../shared/data")
    return source


@pytest.fixture(scope="session", params=["made_up", "real"])
def source(request: pytest.FixtureRequest) -> EicuImporter:
    found: EicuImporter = request.getfixturevalue(request.param)
    return found
