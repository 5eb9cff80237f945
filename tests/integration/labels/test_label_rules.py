"""Labels against a slow reading of the same rules, on drawn records and drawn tasks."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fedehr_client.tasks.catalog import read_task, task_file
from fedehr_client.tasks.definition import TaskDefinition
from fedehr_client.tasks.labeling import make_labels
from fedehr_client.tasks.site_query import QueryLimits
from fedehr_shared.errors import DataError

EPOCH = datetime(2020, 1, 1)
LIMITS = QueryLimits(200 * 10**6)
CODES = (
    "HOSPITAL_ADMISSION//x", "HOSPITAL_DISCHARGE//home", "ICU_ADMISSION//a", "ICU_DISCHARGE//a",
    "MEDS_DEATH", "DX//1", "DX//2", "OBSERVATION_PERIOD_END",
)  # fmt: skip
DELAYS = {"DX//1": 5.0, "DX//2": 2.5}
ENDS = {"hospital_stay": "HOSPITAL_DISCHARGE//home", "icu_stay": "ICU_DISCHARGE//a"}
BEGINS = {"hospital_stay": "HOSPITAL_ADMISSION//x", "icu_stay": "ICU_ADMISSION//a"}
Row = tuple[int, float | None, str, int | None]


@dataclass
class Slow:
    """The rules of docs/tasks.md, one subject and one index event at a time."""

    task: TaskDefinition
    rows: list[Row]
    left_out: Counter[str] = field(default_factory=Counter)
    labels: dict[int, tuple[float, bool]] = field(default_factory=dict)

    def run(self) -> "Slow":
        for subject in sorted({row[0] for row in self.rows}):
            own = sorted({(h, c, v) for s, h, c, v in self._timed() if s == subject})
            self._label(subject, own)
        return self

    def _timed(self) -> list[tuple[int, float, str, Any]]:
        return [(s, h, c, -1 if v is None else v) for s, h, c, v in self.rows if h is not None]

    def _label(self, subject: int, events: list[tuple[float, str, int]]) -> None:
        index = {(h, v) for h, c, v in events if self._is_index(c)}
        eligible = []
        for hour, visit in sorted(index):
            prediction = self._prediction(events, hour, visit)
            reason = self._exclusion(events, hour, visit, prediction)
            if reason:
                self.left_out[reason] += 1
            else:
                eligible.append((hour, visit, prediction))
        if not eligible:
            return
        self.left_out["not_chosen"] += len(eligible) - 1
        hour, visit, prediction = self._choose(subject, eligible)
        verdict = self._verdict(events, hour, visit, prediction)
        if isinstance(verdict, bool):
            self.labels[subject] = (prediction, verdict)
        else:
            self.left_out[verdict] += 1

    def _choose(self, subject: int, eligible: list[Any]) -> Any:
        def key(item: tuple[float, int, float]) -> str:
            us = int((EPOCH + timedelta(hours=item[0]) - datetime(1970, 1, 1)).total_seconds())
            return hashlib.md5(f"{self.task.name}/{subject}/{us * 10**6}".encode()).hexdigest()

        if self.task.index.choose == "last":
            return max(eligible, key=lambda item: (item[0], item[1]))
        if self.task.index.choose == "random":
            return min(eligible, key=lambda item: (key(item), item[1]))
        return eligible[0]

    def _is_index(self, code: str) -> bool:
        return re.fullmatch(self.task.index.codes, code) is not None

    def _stay(
        self, kind: str, events: list[tuple[float, str, int]], hour: float, visit: int
    ) -> tuple[float | None, float | None]:
        """Begin and end of the stay that the index event is inside."""
        begins = sorted({h for h, c, v in events if c == BEGINS[kind] and v == visit})
        ends = sorted({h for h, c, v in events if c == ENDS[kind] and v == visit})
        if kind == "hospital_stay" and visit >= 0:
            stays = [(min(begins, default=None), max(ends, default=None))]
            stays = stays if begins or ends else []
        else:
            stays = []
            for place, begin in enumerate(begins):
                after = begins[place + 1] if place + 1 < len(begins) else float("inf")
                own = [h for h in ends if begin < h <= after]
                own = own or [h for h in ends if h == begin]
                stays.append((begin, min(own, default=None)))
            stays = [stay for stay in stays if stay[0] is not None and stay[0] <= hour]
        index = {c for h, c, v in events if (h, v) == (hour, visit) and self._is_index(c)}
        is_end = index <= set(ENDS.values())
        inside = [s for s in stays if s[1] is None or s[1] > hour or (s[0] == hour and not is_end)]
        known = [s[1] for s in inside if s[1] is not None]
        begun = [s[0] for s in inside if s[0] is not None]
        return max(begun, default=None), max(known, default=None)

    def _outcome_stay(self) -> str:
        outcome = self.task.outcome
        return outcome.stay or outcome.until_end_of or self.task.index.within

    def _prediction(self, events: Any, hour: float, visit: int) -> float | None:
        if self.task.index.at == "end_of_visit":
            return self._stay("hospital_stay", events, hour, visit)[1]
        return hour + self.task.index.gap_hours

    def _exclusion(  # noqa: PLR0911
        self, events: Any, hour: float, visit: int, prediction: float | None
    ) -> str | None:
        task = self.task
        if prediction is None:
            return "end_of_visit_unknown"
        if any(c == "MEDS_DEATH" and h <= prediction for h, c, _ in events):
            return "died_before_prediction"
        begun, outcome_ends = self._stay(self._outcome_stay(), events, hour, visit)
        within_ends = self._stay(task.index.within, events, hour, visit)[1]
        visit_ends = self._stay("hospital_stay", events, hour, visit)[1]
        ends = [end for end in (outcome_ends, within_ends, visit_ends) if end is not None]
        if task.index.at == "index" and any(end <= prediction for end in ends):
            return "left_before_prediction"
        longer = task.outcome.longer_than_hours
        if longer and begun is not None and prediction >= begun + longer:
            return "settled_at_prediction"
        for pattern in task.exclude.codes:
            if any(re.fullmatch(pattern, c) and h <= prediction for h, c, _ in events):
                return "excluded_code"
        known = [h + DELAYS.get(c, 0.0) for h, c, _ in events]
        if sum(h <= prediction for h in known) < task.history.min_events:
            return "short_history"
        if task.history.min_hours and min(known) + task.history.min_hours > prediction:
            return "short_history"
        return None

    def _verdict(self, events: Any, hour: float, visit: int, prediction: float) -> bool | str:
        task, outcome = self.task, self.task.outcome
        begun, ends = self._stay(self._outcome_stay(), events, hour, visit)
        if outcome.horizon_hours:
            window: float | None = prediction + outcome.horizon_hours
        elif outcome.longer_than_hours:
            window = None if begun is None or ends is None else begun + outcome.longer_than_hours
        else:
            window = None if ends is None else ends + outcome.grace_hours
        if window is None:
            return "end_of_stay_unknown"
        inside = [(h, c) for h, c, _ in events if prediction < h <= window]
        if outcome.longer_than_hours:
            times = [window] if ends is not None and ends > window else []
        else:
            times = [h for h, c in inside if re.fullmatch(outcome.codes or "", c)]
        pattern = task.competing.codes if task.competing else "(never)"
        rivals = [h for h, c in inside if re.fullmatch(pattern, c)]
        if times and min(times) <= min(rivals, default=min(times)):
            return True
        if rivals:
            excludes = task.competing is not None and task.competing.label == "exclude"
            return "competing_event" if excludes else False
        if self._observed(events, prediction) >= window - outcome.grace_hours:
            return False
        return "not_observed"

    def _observed(self, events: Any, prediction: float) -> float:
        until = self.task.censoring.until
        if until == "dataset_end":
            return max(h for _, h, _, _ in self._timed())
        if until == "last_event":
            return max(h for h, _, _ in events)
        if until == "codes":
            found = [h for h, c, _ in events if c == "OBSERVATION_PERIOD_END" and h >= prediction]
            return min(found, default=float("-inf"))
        return float("inf")


@st.composite
def records(draw: st.DrawFn) -> list[Row]:
    """A few subjects whose events crowd on few hours, so that times often tie."""
    rows: list[Row] = []
    for subject in range(1, draw(st.integers(1, 4)) + 1):
        events = st.tuples(
            st.integers(0, 14), st.sampled_from(CODES), st.sampled_from([None, 7, 8])
        )
        own = draw(st.lists(events, max_size=14, unique=True))
        # A mark of its own tells subjects apart.
        rows.append((subject, 0.25 * subject, "MARK", None))
        rows += [(subject, float(h), code, visit) for h, code, visit in own]
    rows.append((1, 3.0, "HOSPITAL_ADMISSION//x", 7))
    return rows


SOME = st.sampled_from(["DX//1", "DX//[12]", "MEDS_DEATH|DX//2", "ICU_ADMISSION(//.*)?"])
STAYS = st.sampled_from(["hospital_stay", "icu_stay"])


@st.composite
def tasks(draw: st.DrawFn) -> dict[str, Any]:
    index: dict[str, Any] = {
        "codes": draw(
            st.sampled_from(
                ["HOSPITAL_ADMISSION//x", "HOSPITAL_.*", "ICU_.*", "HOSPITAL_DISCHARGE.*"]
            )
        ),
        "choose": draw(st.sampled_from(["first", "last", "random"])),
        "within": draw(STAYS),
    }
    outcome = draw(
        st.one_of(
            st.fixed_dictionaries({"codes": SOME, "horizon_hours": st.sampled_from([1, 4.5, 9])}),
            st.fixed_dictionaries(
                {"codes": SOME, "until_end_of": STAYS, "grace_hours": st.sampled_from([0, 2])}
            ),
            st.fixed_dictionaries({"stay": STAYS, "longer_than_hours": st.sampled_from([2, 5])}),
        )
    )
    if "horizon_hours" in outcome and draw(st.booleans()):
        index["at"] = "end_of_visit"
    else:
        index["gap_hours"] = draw(st.sampled_from([0, 1, 2.5]))
    sections: dict[str, Any] = {"index": index, "outcome": outcome}
    if draw(st.booleans()):
        label = draw(st.sampled_from(["false", "exclude"]))
        sections["competing"] = {"codes": draw(SOME), "label": label}
    until = draw(st.sampled_from(["none", "dataset_end", "last_event", "codes"]))
    sections["censoring"] = {"until": until}
    if until == "codes":
        sections["censoring"]["codes"] = "OBSERVATION_PERIOD_END"
    if draw(st.booleans()):
        sections["history"] = draw(
            st.fixed_dictionaries(
                {"min_hours": st.sampled_from([0, 1, 3]), "min_events": st.integers(0, 4)}
            )
        )
        sections["exclude"] = {"codes": draw(st.lists(SOME, max_size=2))}
    return sections


@settings(
    deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=records(), sections=tasks())
def test_labels_are_those_of_the_slow_reading(
    rows: list[Row], sections: dict[str, Any], make_site: Any, make_task: Any
) -> None:
    task = make_task(**sections)
    site = make_site(rows, DELAYS)
    if not any(re.fullmatch(task.index.codes, code) for _, _, code, _ in rows):
        with pytest.raises(DataError, match="index"):
            make_labels(site, task, LIMITS)
        return
    made = make_labels(site, task, LIMITS)
    slow = Slow(task, rows).run()
    found = {
        row["subject_id"]: (
            (row["prediction_time"] - EPOCH).total_seconds() / 3_600,
            row["boolean_value"],
        )
        for row in made.labels.to_pylist()
    }
    assert found == slow.labels
    assert {reason: num for reason, num in made.left_out.items() if num} == dict(+slow.left_out)
    assert made.num_index_events == made.num + sum(made.left_out.values())


def test_a_day_case_known_by_its_date_alone_may_be_readmitted(make_site: Any) -> None:
    rows: list[Row] = [
        (1, 0.0, "HOSPITAL_ADMISSION//x", 1), (1, 0.0, "HOSPITAL_DISCHARGE//home", 1),
        (1, 120.0, "HOSPITAL_ADMISSION//x", 2), (2, 9_000.0, "DX//1", None),
    ]  # fmt: skip
    task = read_task(task_file("readmission_30_days"))
    made = make_labels(make_site(rows), task, LIMITS)
    assert made.labels.column("boolean_value").to_pylist() == [True]


def test_the_order_of_rows_and_shards_changes_nothing(make_site: Any, make_task: Any) -> None:
    rows: list[Row] = [
        (s, float(h), code, 7)
        for s in range(1, 30)
        for h, code in ((0, CODES[0]), (s % 5, CODES[5]), (9, CODES[1]))
    ]
    task = make_task(
        index={"codes": "HOSPITAL_ADMISSION.*", "choose": "random"},
        outcome={"codes": "DX//1", "until_end_of": "hospital_stay"},
    )
    one = make_labels(make_site(rows), task, LIMITS).labels
    assert one.equals(make_labels(make_site(rows[::-1]), task, LIMITS).labels)
    assert 0 < sum(one.column("boolean_value").to_pylist()) < one.num_rows


AGES = [(1, 17.5), (2, 18.5), (3, 64.0), (4, 66.0)]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"min_age_years": 18}, [2, 3, 4]),
        ({"max_age_years": 65}, [1, 2, 3]),
        ({"min_age_years": 18, "max_age_years": 65}, [2, 3]),
    ],
)
def test_ages_are_bounded_and_unknown_ones_left_out_only_then(
    bounds: dict[str, float], expected: list[int], make_site: Any, make_task: Any
) -> None:
    rows: list[Row] = [(s, -years * 8_766, "MEDS_BIRTH", None) for s, years in AGES]
    rows += [(s, 0.0, "HOSPITAL_ADMISSION//x", s) for s in range(1, 6)]
    task = make_task(
        index={"codes": "HOSPITAL_ADMISSION.*"},
        outcome={"codes": "MEDS_DEATH", "horizon_hours": 9},
        exclude=bounds,
    )
    made = make_labels(make_site(rows), task, LIMITS)
    assert made.labels.column("subject_id").to_pylist() == expected
    assert made.left_out["age"] == 5 - len(expected)


def test_records_whose_dates_are_fictional_have_no_end(make_site: Any, make_task: Any) -> None:
    site = make_site([(1, 0.0, "HOSPITAL_DISCHARGE//home", 1)])
    task = make_task(
        index={"codes": "HOSPITAL_DISCHARGE.*"},
        outcome={"codes": "HOSPITAL_ADMISSION.*", "horizon_hours": 720},
        censoring={"until": "dataset_end"},
    )
    site.import_file.write_text('{"format": 1, "end_time": null}')
    with pytest.raises(DataError, match="fictional"):
        make_labels(site, task, LIMITS)
    site.import_file.write_text('{"format": 1, "end_time": "2020-01-30T23:00:00.000000"}')
    assert make_labels(site, task, LIMITS).left_out["not_observed"] == 1
    site.import_file.write_text('{"format": 1, "end_time": "2020-01-31T00:00:00"}')
    assert make_labels(site, task, LIMITS).labels.column("boolean_value").to_pylist() == [False]


def test_events_with_a_code_of_no_known_delay_are_refused(make_site: Any, make_task: Any) -> None:
    import pyarrow.parquet as pq

    site = make_site([(1, 0.0, "HOSPITAL_DISCHARGE//home", 1), (1, 1.0, "SECRET//9", 1)])
    codes = pq.read_table(site.codes_file)
    pq.write_table(codes.slice(0, 1), site.codes_file)
    task = make_task(
        index={"codes": "HOSPITAL_DISCHARGE.*"},
        outcome={"codes": "HOSPITAL_ADMISSION.*", "horizon_hours": 720},
    )
    with pytest.raises(DataError, match="1 code") as refused:
        make_labels(site, task, LIMITS)
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("place", ["data", "metadata"])
def test_a_damaged_file_is_named_without_its_content(
    place: str, make_site: Any, make_task: Callable[..., TaskDefinition]
) -> None:
    site = make_site([(s, 0.0, "HOSPITAL_DISCHARGE//home", 1) for s in range(1, 200)])
    file = site.data_files[0] if place == "data" else site.codes_file
    content = bytearray(file.read_bytes())
    content[4:40] = b"\xff" * 36
    file.write_bytes(bytes(content))
    task = make_task(
        index={"codes": "HOSPITAL_DISCHARGE.*"},
        outcome={"codes": "HOSPITAL_ADMISSION.*", "horizon_hours": 720},
    )
    with pytest.raises(DataError, match="damaged"):
        make_labels(site, task, LIMITS)


def test_a_window_that_is_over_at_the_prediction_is_refused(make_task: Any) -> None:
    with pytest.raises(ValidationError, match="the stay is over"):
        make_task(
            index={"codes": "HOSPITAL_ADMISSION.*", "at": "end_of_visit"},
            outcome={"codes": "MEDS_DEATH", "until_end_of": "hospital_stay"},
        )
