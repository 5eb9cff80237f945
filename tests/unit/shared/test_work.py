"""Requests and answers: what cannot be one is refused by name."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.config.exchange import ExchangeConfig
from fedehr_shared.errors import ERROR_CODES, ConfigError, WireError
from fedehr_shared.metrics.score_histogram import ScoreHistogram
from fedehr_shared.wire.payload import Payload, Value
from fedehr_shared.wire.reports import ErrorReport, EvaluationReport, TrainReport
from fedehr_shared.wire.work import PHASES, Work, WorkId


@settings(deadline=None)
@given(
    digest=st.text("0123456789abcdef", min_size=1, max_size=64),
    phase=st.sampled_from(PHASES),
    number=st.integers(0, 10**6),
    attempt=st.integers(0, 99),
)
def test_a_work_id_comes_back_from_its_text(
    digest: str, phase: Any, number: int, attempt: int
) -> None:
    work_id = WorkId(digest, phase, number, attempt)
    assert WorkId.parse(str(work_id)) == work_id
    assert str(work_id) == f"{digest}/{phase}/{number}/{attempt}"


@pytest.mark.parametrize(
    "text", ["", "a/b", "d/vocabulary/1", "d/training/1/1", "d/vocabulary/x/1",
             "d/vocabulary/1/-1", "d/vocabulary/1/1/1", "d/vocabulary/1.0/1",
             "d/vocabulary/\u0661/1", f"d/pretraining/{'9' * 5_000}/1"],
)  # fmt: skip
def test_what_is_no_work_id_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        WorkId.parse(text)


def _work(study: Any) -> Work:
    weights = {"w": np.ones((2, 3), np.float32)}
    work_id = WorkId(study.digest, "pretraining", 2, 1)
    return Work(
        work_id, study, weights, {"w.first": weights["w"]},
        vocabulary_digest="digest", vocabulary_json="text",
    )  # fmt: skip


def test_work_survives_its_records(make_study: Any) -> None:
    work = _work(make_study())
    again = Work.from_payload(work.to_payload())
    assert (again.id, again.study) == (work.id, work.study)
    assert (again.vocabulary_digest, again.vocabulary_json) == ("digest", "text")
    assert again.model is not None
    assert again.model["w"].tolist() == [[1.0] * 3] * 2


def test_a_study_that_its_digest_does_not_name_is_refused(make_study: Any) -> None:
    payload = _work(make_study()).to_payload()
    payload.values["work"]["study"] = make_study(seed=7).to_json()
    with pytest.raises(WireError, match="digest"):
        Work.from_payload(payload)


@pytest.mark.parametrize(
    ("phase", "number"),
    [
        ("pretraining", 0), ("pretraining", 3), ("pretraining", 999_999_999), ("finetuning", 1),
        ("vocabulary", 2), ("evaluation", 0), ("evaluation", 2),
    ],
)  # fmt: skip
def test_a_round_that_the_study_does_not_have_is_refused(
    make_study: Any, phase: Any, number: int
) -> None:
    study = make_study(pretraining={"rounds": 2}, finetuning={"rounds": 0})
    work = replace(_work(study), id=WorkId(study.digest, phase, number, 1))
    with pytest.raises(WireError, match="round"):
        Work.from_payload(work.to_payload())


@pytest.mark.parametrize("study", ["", "[]", "{}", '{"name": "x", "shell": "rm"}'])
def test_a_text_that_is_no_study_is_refused(make_study: Any, study: str) -> None:
    payload = _work(make_study()).to_payload()
    payload.values["work"]["study"] = study
    with pytest.raises(ConfigError):
        Work.from_payload(payload)


@pytest.mark.parametrize("record", ["code", "model2", "paths"])
def test_a_request_with_an_unknown_record_is_refused(make_study: Any, record: str) -> None:
    for more in ({"tensors": {record: b""}}, {"values": {record: {"x": 1}}}):
        payload = _work(make_study()).to_payload()
        payload.tensors.update(more.get("tensors", {}))
        payload.values.update(more.get("values", {}))
        with pytest.raises(WireError, match=record):
            Work.from_payload(payload)


def _train_payload(**changes: Value) -> Payload:
    report = TrainReport("north", 20, 3, 0.5, {"w": np.zeros(2, np.float32)})
    payload = report.to_payload(ExchangeConfig())
    payload.values["report"].update(changes)
    return payload


@pytest.mark.parametrize(
    "changes",
    [
        {"site": 3}, {"num_examples": 0}, {"num_examples": -4}, {"num_examples": 2.0},
        {"num_examples": True}, {"num_examples": "20"}, {"num_steps": "3"},
        {"loss": float("nan")}, {"loss": float("inf")}, {"loss": "low"}, {"loss": True},
        {"loss": [0.5]},
    ],
)  # fmt: skip
def test_a_training_answer_with_a_wrong_value_is_refused(changes: dict[str, Value]) -> None:
    assert TrainReport.from_payload(_train_payload()).num_examples == 20
    with pytest.raises(WireError):
        TrainReport.from_payload(_train_payload(**changes))


@pytest.mark.parametrize("key", ["site", "num_examples", "num_steps", "loss"])
def test_a_training_answer_without_a_value_is_refused(key: str) -> None:
    payload = _train_payload()
    del payload.values["report"][key]
    with pytest.raises(WireError, match=key):
        TrainReport.from_payload(payload)


def test_a_training_answer_without_update_or_with_a_broken_metric_is_refused() -> None:
    payload = _train_payload()
    payload.values["metrics"] = {"back_off.exact": float("nan")}
    with pytest.raises(WireError):
        TrainReport.from_payload(payload)
    with pytest.raises(WireError):
        TrainReport.from_payload(Payload(values=_train_payload().values))


def _histograms() -> tuple[ScoreHistogram, ScoreHistogram]:
    scores = np.random.default_rng(0).random(90)
    return ScoreHistogram.of(scores[:40], 5), ScoreHistogram.of(scores[40:], 5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"num": 41}, {"num": 0}, {"num": 45}, {"means": (1, 2)}, {"edges": (7,) * 6},
        {"edges": (60_000, 50_000, 40_000, 30_000, 20_000, 10_000, 5_000)},
        {"edges": (0, 1, 2, 3, 4, 5, 6)}, {"means": (70_000,) * 8}, {"deviations": (-1,) * 8},
        {"deviations": (10**9,) * 8},
    ],
)  # fmt: skip
def test_score_histograms_that_cannot_be_are_refused(wrong: Any) -> None:
    positives, negatives = _histograms()
    assert len(positives.means) == 8
    report = EvaluationReport("north", 5, {}, {"death": (replace(positives, **wrong), negatives)})
    with pytest.raises(WireError):
        EvaluationReport.from_payload(report.to_payload())


def test_an_evaluation_survives_its_records() -> None:
    metrics = {"death.auroc": 0.75, "death.num": 60.0}
    report = EvaluationReport("north", 5, metrics, {"death": _histograms()})
    assert EvaluationReport.from_payload(report.to_payload()) == report


@pytest.mark.parametrize("code", [*sorted(ERROR_CODES), "rm -rf", "", "x" * 10_000])
def test_an_error_carries_a_documented_code_and_a_short_reference(code: str) -> None:
    report = ErrorReport.from_payload(ErrorReport(code, "ab" * 5_000).to_payload())
    assert report.code == (code if code in ERROR_CODES else "failed")
    assert len(report.reference) <= 64


@pytest.mark.parametrize("values", [{}, {"code": "data"}, {"code": 3, "reference": "a"}])
def test_an_error_without_its_parts_is_refused(values: dict[str, Value]) -> None:
    with pytest.raises(WireError):
        ErrorReport.from_payload(Payload(values={"error": values}))
