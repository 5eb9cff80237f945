"""`verdict.json`: written whole and valid, or not at all."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from fedehr_shared.errors import FedehrError
from fedehr_simulations.verdict.machine import describe_machine, describe_versions
from fedehr_simulations.verdict.result import ArmResult, Interval, Scores, TaskResult
from fedehr_simulations.verdict.verdict import SiteSummary, StudyName, Verdict, check_schema

WITHHELD = Interval.withheld("fewer than 11 positives")
SCORE = Interval(value=0.8, low=0.7, high=0.9)


def _verdict() -> Verdict:
    site = Scores(
        num=None, num_positive=None, reason="few", auroc=WITHHELD, auprc=WITHHELD, brier=WITHHELD
    )
    task = TaskResult(
        num=100, num_positive=20, auroc=SCORE, auprc=SCORE, brier=SCORE, per_site={"a": site}
    )
    return Verdict(
        study=StudyName(name="demo", digest="ab" * 32),
        machine=describe_machine(),
        versions=describe_versions(),
        seconds=1.5,
        sites=(SiteSummary(name="a", num_subjects=40, num_events=900, unknown_code_share=0.25),),
        arms={"federated": ArmResult(tasks={"death": task}, pretraining_loss=(3.0, 2.5))},
        subject_epsilon={"a": None},
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    verdict, path = _verdict(), tmp_path / "run" / "verdict.json"
    verdict.write(path)
    assert Verdict.read(path) == verdict
    assert [file.name for file in path.parent.iterdir()] == ["verdict.json"]


def test_the_shape_that_scripts_rely_on() -> None:
    value = json.loads(_verdict().to_json())
    task = value["arms"]["federated"]["tasks"]["death"]
    assert task["auroc"] == {"value": 0.8, "low": 0.7, "high": 0.9}
    assert (task["num"], task["num_positive"]) == (100, 20)
    site = task["per_site"]["a"]
    assert site["num"] is None
    assert site["reason"] == "few"
    assert site["auroc"]["value"] is None
    assert site["auroc"]["reason"]
    assert "oracle" not in task
    assert value["arms"]["federated"]["pretraining_loss"] == [3.0, 2.5]
    assert value["subject_epsilon"] == {"a": None}
    assert value["bytes"] == {
        "up_per_site": {},
        "down_per_site": {},
        "base_per_site": {},
        "per_round": [],
    }


def test_a_verdict_that_breaks_its_schema_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    path.write_text("the one before", encoding="utf-8")
    # model_copy skips validation, as a programming error elsewhere would.
    broken = _verdict().model_copy(update={"seconds": -1.0})
    with pytest.raises(FedehrError, match="seconds"):
        broken.write(path)
    assert path.read_text(encoding="utf-8") == "the one before"
    assert [file.name for file in tmp_path.iterdir()] == ["verdict.json"]


@pytest.mark.parametrize("missing", ["study", "machine", "versions", "sites", "arms", "bytes"])
def test_no_part_may_be_missing(missing: str) -> None:
    value = json.loads(_verdict().to_json())
    del value[missing]
    with pytest.raises(FedehrError, match=missing):
        check_schema(value)


def test_a_null_needs_a_reason_and_a_number_none() -> None:
    value = json.loads(_verdict().to_json())
    score = value["arms"]["federated"]["tasks"]["death"]["auroc"]
    score["low"] = None
    with pytest.raises(FedehrError, match="reason"):
        check_schema(value)
    score.update(low=0.7, reason="just so")
    with pytest.raises(FedehrError):
        check_schema(value)


@pytest.mark.parametrize(
    ("value", "low", "high", "reason"),
    [
        (None, None, None, None),
        (0.5, 0.4, 0.6, "why"),
        (0.5, None, 0.6, None),
        (0.5, 0.6, 0.4, None),
        (float("nan"), 0.4, 0.6, None),
        (0.5, float("-inf"), 0.6, None),
    ],
)
def test_intervals_that_say_nothing_clear_are_refused(
    value: float | None, low: float | None, high: float | None, reason: str | None
) -> None:
    with pytest.raises(ValidationError):
        Interval(value=value, low=low, high=high, reason=reason)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FedehrError, match="cannot read"):
        Verdict.read(tmp_path / "absent.json")
    (tmp_path / "half.json").write_text('{"format": 1', encoding="utf-8")
    with pytest.raises(FedehrError, match="cannot read"):
        Verdict.read(tmp_path / "half.json")


def test_machine_and_versions_name_no_person_or_host() -> None:
    import getpass
    import platform

    machine, versions = describe_machine(), describe_versions()
    assert machine.num_cores >= 1
    assert machine.memory_bytes > 2**28
    assert platform.node() not in machine.platform.split("-")
    assert getpass.getuser() not in machine.platform
    assert {"fedehr", "flwr", "torch", "python"} <= versions.keys()
    assert "not installed" not in versions.values()
