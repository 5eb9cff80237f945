"""The leakage test finds what gives a label away, and nothing else."""

import random
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedehr_client.tasks.labeling import make_labels
from fedehr_client.tasks.leakage import BILLING, LeakRoles, check_leakage
from fedehr_client.tasks.leakage_report import ENOUGH, LeakageReport, lower_bound
from fedehr_client.tasks.site_query import QueryLimits
from fedehr_shared.config.code_pattern import matching
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import LABELS_SCHEMA

LIMITS = QueryLimits(200 * 10**6)
NUM = 120
DISEASE = "DIAGNOSIS//ICD10//N17"


def _stays(
    draw: random.Random, *, stamped: bool = True, num: int = NUM
) -> list[tuple[int, float, str, int]]:
    """ICU stays of 1 to 9 days with some noise; who stays over 3 days gets a diagnosis, which
    the source stamps at admission."""
    rows: list[tuple[int, float, str, int]] = []
    for subject in range(1, num + 1):
        hours = draw.uniform(24, 216)
        rows += [
            (subject, 0.0, "HOSPITAL_ADMISSION//x", subject),
            (subject, 1.0, "ICU_ADMISSION//a", subject),
            (subject, hours, "ICU_DISCHARGE//a", subject),
            (subject, hours + 5, "HOSPITAL_DISCHARGE//home", subject),
        ]
        if hours > 72 and stamped:
            rows.append((subject, 0.0, DISEASE, subject))
        for _ in range(draw.randrange(1, 6)):
            code = draw.choice(["LAB//a", "LAB//b", "MEDICATION//c"])
            rows.append((subject, draw.uniform(1, hours), code, subject))
    return rows


@pytest.fixture(scope="module")
def long_stay(make_task: Any) -> Any:
    return make_task(
        index={"codes": "ICU_ADMISSION.*", "gap_hours": 24, "within": "icu_stay"},
        outcome={"stay": "hospital_stay", "longer_than_hours": 78},
    )


def _check(site: SiteFolder, task: Any) -> LeakageReport:
    made = make_labels(site, task, LIMITS)
    return check_leakage(site, task.name, made.labels, LeakRoles.of_task(task), LIMITS)


def test_diagnoses_stamped_at_admission_are_found_and_their_delay_mends_it(
    make_site: Any, long_stay: Any
) -> None:
    rows = _stays(random.Random(1))
    report = _check(make_site(rows), long_stay)
    assert report.is_leaking
    assert [rule.name for rule in report.leaking_rules] == [f"{DISEASE} present"]
    assert DISEASE in report.explain()
    assert report.num_undelayed_billing_codes == 1
    assert report.num_events_held_back == 0
    delayed = _check(make_site(rows, {DISEASE: 72.0}), long_stay)
    assert not delayed.is_leaking
    assert delayed.explain() == ""
    assert delayed.num_undelayed_billing_codes == 0
    assert 0 < delayed.num_events_held_back <= NUM
    assert (delayed.num_positive, delayed.num_negative) == (
        report.num_positive,
        report.num_negative,
    )


def test_an_honest_task_is_not_accused(make_site: Any, long_stay: Any) -> None:
    report = _check(make_site(_stays(random.Random(2), stamped=False)), long_stay)
    assert report.has_enough
    assert not report.is_leaking
    assert 0 < len(report.rules) <= 5
    assert set(report.visible) == {"outcome", "competing", "death", "end_of_stay"}


def test_a_published_long_stay_task_is_found_to_read_its_label(
    make_site: Any, make_task: Any
) -> None:
    """The configuration of meds-torch: the input is the first 48 h of the ICU, who leaves
    between 48 and 72 h is left out, and the label is a discharge within 3 days. So whoever is
    positive left inside the input. Our tasks cannot say it; a file of labels can."""
    rows = _stays(random.Random(3), stamped=False, num=400)
    left = {s: hour for s, hour, code, _ in rows if code.startswith("ICU_DISCHARGE")}
    kept = {s: hour - 1 for s, hour in left.items() if not 48 <= hour - 1 <= 72}
    site = make_site(rows)
    labels = _labels(site, {s: (49.0, hours < 48) for s, hours in kept.items()})
    report = check_leakage(site, "published", labels, LeakRoles.of_imported(), LIMITS)
    assert 25 <= report.num_positive < report.num_negative
    assert report.is_leaking
    assert "ICU_DISCHARGE//a present" in {rule.name for rule in report.leaking_rules}
    assert report.visible["end_of_stay"] > 0
    # The same definition as a task of ours leaves those who left by the prediction out.
    task = make_task(
        index={"codes": "ICU_ADMISSION.*", "gap_hours": 48, "within": "icu_stay"},
        outcome={"codes": "ICU_DISCHARGE.*", "horizon_hours": 24},
    )
    assert not _check(site, task).is_leaking


def _labels(site: SiteFolder, values: dict[int, tuple[float, bool]]) -> pa.Table:
    start = 1_577_836_800_000_000  # 2020-01-01
    times = [start + int(hour * 3_600_000_000) for hour, _ in values.values()]
    columns = [
        pa.array(list(values)),
        pa.array(times, pa.int64()).cast(pa.timestamp("us")),
        pa.array([value for _, value in values.values()]),
    ]
    return pa.Table.from_arrays(columns, schema=LABELS_SCHEMA)


def test_an_outcome_seen_after_the_index_is_a_leak_until_it_is_excluded(
    make_site: Any, make_task: Any
) -> None:
    rows = _stays(random.Random(4), stamped=False)
    rows += [(s, 10.0, "SEPSIS", s) for s in (3, 4)] + [(s, 30.0, "SEPSIS", s) for s in (4, 5)]
    site = make_site(rows)
    sections = {
        "index": {"codes": "ICU_ADMISSION.*", "gap_hours": 24},
        "outcome": {"codes": "SEPSIS", "until_end_of": "hospital_stay"},
    }
    report = _check(site, make_task(**sections))
    assert report.visible["outcome"] == 2
    assert report.is_leaking
    assert "2 labelled subject(s)" in report.explain()
    excluded = make_task(**sections, exclude={"codes": ["SEPSIS"]})
    assert not _check(site, excluded).is_leaking


def test_labels_at_discharge_may_see_that_discharge(make_site: Any, make_task: Any) -> None:
    site = make_site(_stays(random.Random(5), stamped=False))
    for index in (
        {"codes": "HOSPITAL_DISCHARGE.*"},
        {"codes": "HOSPITAL_ADMISSION.*", "at": "end_of_visit"},
    ):
        task = make_task(index=index, outcome={"codes": "MEDS_DEATH", "horizon_hours": 720})
        report = _check(site, task)
        assert not report.is_leaking
        assert report.num_negative == NUM


def test_a_death_that_a_file_predicts_too_late_is_found(make_site: Any) -> None:
    rows = _stays(random.Random(6), stamped=False)
    site = make_site([*rows, (7, 20.0, "MEDS_DEATH", 7)])
    labels = _labels(site, {s: (21.0, s == 7) for s in range(1, 20)})
    report = check_leakage(site, "death", labels, LeakRoles.of_imported(), LIMITS)
    assert report.visible == {"death": 1, "end_of_stay": 0}
    earlier = _labels(site, {s: (19.0, s == 7) for s in range(1, 20)})
    assert not check_leakage(site, "death", earlier, LeakRoles.of_imported(), LIMITS).is_leaking


@given(area=st.floats(0.5, 1.0), num=st.integers(1, 5_000), more=st.integers(0, 5_000))
def test_the_bound_is_below_the_area_and_grows_with_the_numbers(
    area: float, num: int, more: int
) -> None:
    low = lower_bound(area, num, num + more)
    assert 0.0 < low < area <= 1.0
    assert low == lower_bound(area, num + more, num)
    assert lower_bound(area, num + 1, num + more + 1) >= low
    if num < ENOUGH:
        assert lower_bound(1.0, num, num + more) <= 0.9021


def test_codes_of_bills_are_known_by_their_vocabulary() -> None:
    bills = ["DIAGNOSIS//ICD//10//N17", "ICD10CM/E11.9", "PROCEDURE//ICD9PROC//99", "DRG//HCFA//1",
             "CPT4/99213", "HCPCS//J1"]  # fmt: skip
    others = ["SNOMED/73211009", "DIAGNOSIS//renal|failure|acute", "LAB//icdx", "LOINC/1234-5",
              "DRGS_OF_WINE", "MEDICATION//CPTX"]  # fmt: skip
    assert matching(bills, BILLING).all()
    assert not matching(others, BILLING).any()


def test_what_has_no_time_is_in_every_input_and_is_tested_too(
    make_site: Any, long_stay: Any
) -> None:
    rows = _stays(random.Random(7), stamped=False)
    left = {subject: hour for subject, hour, code, _ in rows if code == "ICU_DISCHARGE//a"}
    sexes = [(s, None, f"SEX//{'F' if s % 2 else 'M'}", None) for s in left]
    assert not _check(make_site(rows + sexes), long_stay).is_leaking
    told = [(s, None, "DESTINATION//ward", None) for s, hour in left.items() if hour > 73]
    report = _check(make_site(rows + sexes + told), long_stay)
    assert [rule.name for rule in report.leaking_rules] == ["DESTINATION//ward present"]
    report = _check(make_site([*rows, *sexes, (3, None, "MEDS_DEATH", None)]), long_stay)
    assert report.visible["death"] == 1
    assert report.is_leaking


def test_a_death_at_the_prediction_is_seen_where_days_alone_are_known(make_site: Any) -> None:
    rows: list[Any] = [(s, 0.0, "HOSPITAL_ADMISSION//x", s) for s in range(1, 5)]
    rows += [(5, 24.0, "HOSPITAL_ADMISSION//x", 5), (5, 24.0, "MEDS_DEATH", None)]
    rows += [(1, 24.0, "MEDS_DEATH", None), (2, 24.0, "HOSPITAL_DISCHARGE//home", 2)]
    times = [datetime(2020, 1, 2)] * 5
    columns = {"subject_id": [1, 2, 3, 4, 5], "prediction_time": times}
    values = [True, False, False, True, True]
    labels = pa.table(columns | {"boolean_value": values}, LABELS_SCHEMA)
    report = check_leakage(make_site(rows), "own", labels, LeakRoles.of_imported(), LIMITS)
    assert report.visible == {"death": 2, "end_of_stay": 0}
