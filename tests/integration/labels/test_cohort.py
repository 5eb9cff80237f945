"""A study's cohort: whose labels count, everywhere the same, and never in pre-training."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedehr_client.answers.site_data import SiteData
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.label_counts import count_outcomes
from fedehr_client.locator import SiteLocation
from fedehr_client.tasks.cohort import read_cohort_labels
from fedehr_client.tasks.label_folder import LabelFile, write_label_files
from fedehr_shared.config.cohort import CohortConfig
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import HELD_OUT, LABELS_SCHEMA, SPLITS, TRAIN
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_simulations.arms.bag_of_tokens import read_bags
from fedehr_simulations.arms.pooled_site import write_pooled_site
from fedehr_simulations.outcome.held_out import read_held_out

ONE_THREAD = ComputeConfig(device="cpu", num_threads=1)

HOURS_A_YEAR = 8_766
DELAYS = {"DX": 10.0}
Row = tuple[int, float | None, str, int | None]


def _belongs(rows: list[Row], subject: int, hour: float, cohort: CohortConfig) -> bool:
    """The rules of docs/tasks.md, one subject at a time."""
    own = [
        (h, h + DELAYS.get(c, 0.0), c, v) for s, h, c, v in rows if s == subject and h is not None
    ]
    known = [event for event in own if event[1] <= hour]
    if cohort.bounds_age:
        births = [h for h, _, c, _ in known if c == "MEDS_BIRTH"]
        if not births:
            return False
        years = (hour - min(births)) / HOURS_A_YEAR
        if not cohort.min_age_years <= years <= cohort.max_age_years:
            return False
    if cohort.min_history_hours:
        seen = [k for _, k, c, _ in known if c != "MEDS_BIRTH"]
        if not seen or hour - min(seen) < cohort.min_history_hours:
            return False
    if cohort.setting:
        visits = [(k, v) for _, k, _, v in known if v is not None]
        visit = max(visits)[1] if visits else None
        if not any(c == cohort.setting and v == visit for _, _, c, v in known):
            return False
    day = date(2020, 1, 1) + timedelta(days=int(hour // 24))
    first, last = cohort.start_date or "0001-01-01", cohort.end_date or "9999-12-31"
    return first <= day.isoformat() <= last


def _label(site: SiteFolder, hours: dict[int, float]) -> None:
    start = 1_577_836_800_000_000  # 2020-01-01
    times = [start + int(hour * 3_600_000_000) for hour in hours.values()]
    columns = [
        pa.array(list(hours)),
        pa.array(times, pa.int64()).cast(pa.timestamp("us")),
        pa.array([True] * len(hours)),
    ]
    table = pa.Table.from_arrays(columns, schema=LABELS_SCHEMA)
    write_label_files(site, [LabelFile("asked", table, "")])


@st.composite
def records(draw: st.DrawFn) -> list[Row]:
    rows: list[Row] = []
    for subject in range(1, 5):
        years = draw(st.sampled_from([None, 10, 40, 80]))
        if years is not None:
            rows.append((subject, -float(years * HOURS_A_YEAR), "MEDS_BIRTH", None))
        events = st.tuples(
            st.integers(0, 60), st.sampled_from(["DX", "HR", "ICU"]), st.sampled_from([None, 1, 2])
        )
        own = draw(st.lists(events, max_size=6, unique=True))
        rows += [(subject, float(h), code, visit) for h, code, visit in own]
        rows.append((subject, None, "SEX//F", None))
    return rows


COHORTS = st.builds(
    CohortConfig,
    min_age_years=st.sampled_from([0, 18]),
    max_age_years=st.sampled_from([50, 200]),
    setting=st.sampled_from(["", "ICU", "DX"]),
    start_date=st.sampled_from(["", "2020-01-02"]),
    end_date=st.sampled_from(["", "2020-01-02"]),
    min_history_hours=st.sampled_from([0, 5, 30]),
)


@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=records(), cohort=COHORTS, hour=st.sampled_from([20.0, 24.0, 47.75, 48.0, 60.0]))
def test_members_are_those_of_the_slow_reading(
    rows: list[Row], cohort: CohortConfig, hour: float, make_site: Any
) -> None:
    site = make_site(rows, DELAYS)
    hours = dict.fromkeys(range(1, 5), hour)
    _label(site, hours)
    labels = read_cohort_labels(site, {"asked": TaskConfig()}, cohort)["asked"]
    expected = [s for s in hours if _belongs(rows, s, hour, cohort)]
    assert labels.subject_ids.tolist() == expected


COHORT = {
    "min_age_years": 40,
    "setting": r"VISIT//ADMISSION\|EMERGENCY",
    "start_date": "2021-02-01",
    "min_history_hours": 24,
}


@pytest.fixture(scope="module")
def vocabulary(finished_study: Any) -> Vocabulary:
    return Vocabulary.from_json((finished_study.folder / "vocabulary.json").read_text())


def test_all_arms_and_phases_see_the_same_examples(
    make_study: Any, hospitals: Any, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    everyone, study = make_study(), make_study(cohort=COHORT)
    site = hospitals.sites[0]
    splits = read_splits(site)
    location = SiteLocation(site.name, site, tmp_path / "work", 5, ONE_THREAD)
    data = SiteData(location, study, vocabulary)
    held_out = read_held_out([site], study.tasks_by_name, study.cohort)
    bags = read_bags(study, site, vocabulary, tmp_path / "bags")
    for split in SPLITS:
        own, whole = data.examples(split), SiteData(location, everyone, vocabulary).examples(split)
        assert 0 < len(own) < len(whole)
        assert bags[split].examples.subject_ids.tolist() == own.subject_ids.tolist()
        np.testing.assert_array_equal(bags[split].examples.labels, own.labels)
    assert held_out.subject_ids.tolist() == data.examples(HELD_OUT).subject_ids.tolist()
    counted = count_outcomes(site, study.tasks_by_name, splits, study.cohort)
    train = data.examples(TRAIN).labels
    for column, task in enumerate(study.finetuning.tasks):
        own = train[:, column]
        assert counted[task] == (int((own == 0).sum()), int((own == 1).sum()))


def test_pretraining_sees_every_record(
    make_study: Any, hospitals: Any, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    site = hospitals.sites[0]
    location = SiteLocation(site.name, site, tmp_path / "work", 5, ONE_THREAD)
    rows = [
        SiteData(location, study, vocabulary).pretraining().rows.tolist()
        for study in (make_study(), make_study(cohort=COHORT))
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) > 100


def test_pooled_records_hold_the_labels_of_the_cohort(
    make_study: Any, hospitals: Any, tmp_path: Path
) -> None:
    study = make_study(cohort=COHORT)
    tasks = study.tasks_by_name
    pooled = write_pooled_site(tmp_path / "pooled", hospitals.sites, tasks, study.cohort)
    for task in tasks:
        own = [
            subject
            for site in hospitals.sites
            for subject in read_cohort_labels(site, tasks, study.cohort)[task].subject_ids.tolist()
        ]
        found = read_cohort_labels(pooled, tasks, study.cohort)[task].subject_ids.tolist()
        assert found == sorted(own) != []


def test_a_study_with_a_cohort_runs_from_end_to_end(
    make_study: Any, hospitals: Any, run_study_in_process: Any, finished_study: Any, tmp_path: Path
) -> None:
    run = run_study_in_process(
        make_study(cohort={"min_age_years": 40}), hospitals.sites, tmp_path / "cohort"
    )
    assert run.result["status"] == finished_study.result["status"]
    assert run.latest_weights.keys() == finished_study.latest_weights.keys()
    # Counts of the evaluation are told by bins of scores: those of the first phase are not.
    told = [
        sum(sum(m.payload.values["labels"]["num"]) for m in study.messages
            if m.phase == "vocabulary" and m.direction == "up" and "labels" in m.payload.values)
        for study in (run, finished_study)
    ]  # fmt: skip
    assert 0 < told[0] < told[1]
