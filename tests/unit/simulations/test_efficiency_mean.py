"""`fedehr-sim efficiency-mean`: several measurements together, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fedehr_shared.errors import DataError, UsageError
from fedehr_simulations.efficiency.hospitals_page import MARKS
from fedehr_simulations.efficiency.over_hospitals import over_hospitals, read_records
from fedehr_simulations.efficiency.record import EfficiencyRecord
from fedehr_simulations.verdict.machine import describe_machine

PROGRAM = Path(sys.executable).parent / "fedehr-sim"
ARMS, TASKS, NUMBERS = ("pretrained", "scratch"), ("death", "long_stay"), (64, None)


def _record(seed: int, **changes: Any) -> EfficiencyRecord:
    generator = np.random.default_rng(seed)
    points, gains, own, numbers = [], [], [], changes.pop("numbers", NUMBERS)
    for task in TASKS:
        for num in numbers:
            cell = {"place": "federation", "task": task, "num_labels": num}
            told = dict(zip(ARMS, generator.uniform(0.6, 0.8, 2), strict=True))
            for arm, value in told.items():
                figure = _interval(value)
                curves = {"auroc": figure, "auprc": figure, "auroc_by_seed": [value]}
                points.append(cell | {"arm": arm} | curves)
            points_ahead = 100 * (told["pretrained"] - told["scratch"])
            percent = 100 * (told["pretrained"] / told["scratch"] - 1)
            gains.append(cell | {
                "reference": "scratch", "auroc_points": _interval(points_ahead),
                "auroc_percent": _interval(percent), "auprc_points": _interval(0.0),
            })  # fmt: skip
            told_own = {"task": task, "num_labels": num, "own": _interval(0.6)}
            for site in ("a", ""):
                points_ahead = generator.uniform(-3, 3)
                more = {"federated": _interval(0.7), "auroc_points": _interval(points_ahead)}
                own.append(told_own | {"site": site} | more)
    values = {
        "study": {"name": "any", "digest": "0" * 64}, "vocabulary_digest": "v",
        "machine": describe_machine(), "versions": {"torch": "2"}, "min_cell": 11,
        "sites": ["a"], "held_out_site": "", "labels_at": "all", "seeds": [0], "labels": [],
        "num_scored": {"federation": 100}, "points": points, "gains": gains,
        "own_labels": own, "runs": [],
    }  # fmt: skip
    return EfficiencyRecord.model_validate(values | changes)


def _interval(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [tmp_path / f"{seed}.json" for seed in range(5)]
    for seed, file in enumerate(made):
        _record(seed).write(file)
    return made


def test_means_and_intervals_are_of_the_hospitals(files: list[Path]) -> None:
    records = read_records(files)
    told = over_hospitals(records)
    assert told.num_hospitals == 5
    for gain in told.gains:
        chosen = [task for task in TASKS if gain.task in {task, "mean of tasks"}]
        by_hospitals = np.array([
            np.mean([
                one.auroc_points.value
                for one in record.gains
                if one.task in chosen and one.num_labels == gain.num_labels
            ])
            for record in records
        ])  # fmt: skip
        # The interval holds the mean differences that a t-test would not reject.
        low, high = stats.ttest_1samp(by_hospitals, 0.0).confidence_interval(0.95)
        found = gain.auroc_points
        assert (found.value, found.low, found.high) == pytest.approx(
            (by_hospitals.mean(), low, high)
        )
        assert gain.num_ahead == sum(by_hospitals > 0)
    assert {gain.task for gain in told.gains} == {*TASKS, "mean of tasks"}
    both = [p for p in told.points if p.task == "mean of tasks" and p.arm == "scratch"]
    assert [len(point.auroc_by_hospitals) for point in both] == [5, 5]


def test_what_other_sites_labels_are_worth_counts_each_site_alike(files: list[Path]) -> None:
    records = read_records(files)
    told = {(one.task, one.num_labels): one for one in over_hospitals(records).own_labels}
    assert set(told) == {(task, num) for task in (*TASKS, "mean of tasks") for num in NUMBERS}
    for (task, num), gain in told.items():
        chosen = TASKS if task == "mean of tasks" else (task,)
        assert list(gain.by_hospitals) == pytest.approx([
            np.mean([
                one.auroc_points.value
                for one in record.own_labels
                if one.site == "" and one.task in chosen and one.num_labels == num
            ])
            for record in records
        ])  # fmt: skip


def test_the_command_prints_and_writes_a_page(files: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{MARKS.begin}\nold\n{MARKS.end}\nafter\n")
    done = _run(*map(str, files), "--json", "--markdown", str(page))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_hospitals"] == 5
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("| mean of tasks, 64 |") == 3
    shown = _run(*map(str, files))
    assert "of 5" in shown.stdout


def test_what_does_not_belong_together_is_refused(files: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    with pytest.raises(UsageError, match="two records or more"):
        read_records(files[:1])
    with pytest.raises(UsageError, match="are the same"):
        read_records([files[0], files[1], files[0]])
    with pytest.raises(DataError, match=r"missing\.json is not there"):
        read_records([files[0], tmp_path / "missing.json"])
    _record(9, study={"name": "another", "digest": "1" * 64}).write(other)
    with pytest.raises(DataError, match="of study another"):
        read_records([files[0], other])
    _record(9, numbers=(64,)).write(other)
    with pytest.raises(DataError, match="other labels, arms, tasks or sites"):
        read_records([files[0], other])
    other.write_text("{")
    with pytest.raises(DataError, match="damaged"):
        read_records([files[0], other])


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAM), "efficiency-mean", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
