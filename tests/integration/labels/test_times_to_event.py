"""Times to an event: made by a task beside the binary labels of the same rules, and from files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from meds.schema import LabelSchema
from pydantic import ValidationError

from fedehr_client.tasks.binary_views import binary_views
from fedehr_client.tasks.label_file import FileReading, read_label_file
from fedehr_client.tasks.label_folder import LabelFile, write_label_files
from fedehr_client.tasks.labeling import make_labels
from fedehr_client.tasks.site_query import QueryLimits
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.labels import read_labels

LIMITS = QueryLimits(200 * 10**6)
INDEX = {"codes": "HOSPITAL_ADMISSION//x", "gap_hours": 24}
OUTCOME = {"codes": "DX//1", "horizon_hours": 100}
ROWS = [
    (subject, 0.0, "HOSPITAL_ADMISSION//x", subject) for subject in range(1, 7)
] + [
    (subject, 500.0, "HOSPITAL_DISCHARGE//home", subject) for subject in (1, 2, 4, 5)
] + [
    (1, 54.0, "DX//1", 1), (1, 60.0, "DX//1", 1),    # 30 hours after the prediction
    (2, 125.0, "DX//1", 2),                          # after the window's end
    (3, 44.0, "MEDS_DEATH", 3),                      # competing, 20 hours after
    (4, 30.0, "OBSERVATION_PERIOD_END", 4),          # 6 hours after
    (5, 124.0, "DX//1", 5),                          # at the window's end
    (6, 20.0, "OBSERVATION_PERIOD_END", 6),          # before the prediction
]  # fmt: skip
CENSORING = {"until": "codes", "codes": "OBSERVATION_PERIOD_END|HOSPITAL_DISCHARGE//home"}


@pytest.mark.parametrize("rule", ["false", "exclude", "censor"])
def test_hours_run_to_the_outcome_or_to_the_end_of_what_is_known(
    make_site: Any, make_task: Any, tmp_path: Path, rule: str
) -> None:
    site = make_site(ROWS)
    sections = {
        "index": INDEX,
        "outcome": OUTCOME,
        "competing": {"codes": "MEDS_DEATH", "label": rule},
        "censoring": CENSORING,
    }
    made = make_labels(site, make_task(kind="time_to_event", **sections), LIMITS)
    LabelSchema.validate(made.labels)
    write_label_files(site, [LabelFile("asked", made.labels, "")])
    config = TaskConfig(kind="time_to_event", interval_ends_hours=(50, 100))
    found = read_labels(site, "asked", config)
    told = dict(zip(found.subject_ids.tolist(), found.values.tolist(), strict=True))
    competing = {"false": {3: -100.0}, "exclude": {}, "censor": {3: -20.0}}[rule]
    assert told == pytest.approx({1: 30.0, 2: -100.0, 4: -6.0, 5: 100.0, **competing})
    assert made.left_out["not_observed"] == 1
    assert made.left_out["competing_event"] == (rule == "exclude")
    if rule == "censor":
        return
    # The binary task of the same rules: those whose window was seen to its end.
    binary = make_labels(site, make_task(**sections), LIMITS).labels.to_pydict()
    known = dict(zip(binary["subject_id"], binary["boolean_value"], strict=True))
    whole = {one: value > 0 for one, value in told.items() if value > 0 or value == -100.0}
    assert known == whole


def test_what_has_no_time_is_no_event(make_task: Any) -> None:
    with pytest.raises(ValidationError, match="an event with a time"):
        make_task(
            kind="time_to_event",
            index=INDEX,
            outcome={"stay": "hospital_stay", "longer_than_hours": 72},
        )
    with pytest.raises(ValidationError, match="belongs to kind 'time_to_event'"):
        make_task(
            index=INDEX, outcome=OUTCOME, competing={"codes": "MEDS_DEATH", "label": "censor"}
        )


def _read(site: SiteFolder, file: Path, rows: str) -> Any:
    file.write_text("subject_id,prediction_time,value,event\n" + rows, encoding="utf-8")
    return read_label_file(file, site, "time_to_event", FileReading(None, 1.0))


def test_a_file_names_hours_and_whether_the_event_was_seen(make_site: Any, tmp_path: Path) -> None:
    site = make_site(ROWS)
    rows = "2,2020-01-02,12.5,1\n1,2020-01-02,0,no\n3,2020-01-02,-1,1\n4,2020-01-02,5,maybe\n"
    given = _read(site, tmp_path / "labels.csv", rows)
    LabelSchema.validate(given.labels)
    told = given.labels.to_pydict()
    assert (told["subject_id"], told["boolean_value"]) == ([1, 2], [False, True])
    assert told["float_value"] == [0.0, 12.5]
    assert given.bad_rows["bad_value"] == [3, 4]
    file = tmp_path / "without.csv"
    file.write_text("subject_id,prediction_time,value\n1,2020-01-02,3\n")
    with pytest.raises(DataError, match="event"):
        read_label_file(file, site, "time_to_event", FileReading(None, 1.0))


def test_every_kind_is_seen_as_questions_with_yes_or_no(
    hospitals: Any, make_task: Callable[..., Any]
) -> None:
    import pyarrow.parquet as pq

    site = hospitals.sites[0]
    views = {
        task: binary_views(pq.read_table(site.labels_file(task)))
        for task in ("death", "severity_class", "stay_days", "death_time")
    }
    assert [len(own) for own in views.values()] == [1, 3, 1, 1]
    for own in views.values():
        for view in own:
            column = view.labels.column("boolean_value").to_pylist()
            assert 0 < sum(column) < len(column)
    above = sum(views["stay_days"][0].labels.column("boolean_value").to_pylist())
    assert above == views["stay_days"][0].labels.num_rows // 2
